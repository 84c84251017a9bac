//! Plain pages: no script, no style of others, nothing from elsewhere.

use axum::http::{HeaderValue, header};

use super::answer::{Answer, of};

const POLICY: &str = "default-src 'none'; style-src 'sha256-STYLE'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";
/// One column, in the reader's own light or dark.
const STYLE: &str = ":root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}\
body{max-width:44rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.4rem}\
button{font:inherit;padding:.5rem 1rem}code{overflow-wrap:anywhere}\
td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}";

/// A page. `body` is HTML already.
pub(super) fn page(title: &str, body: &str) -> Answer {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    let mut answer = of("text/html; charset=utf-8", html);
    let headers = answer.headers_mut();
    let policy = POLICY.replace("STYLE", &digest(STYLE));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

/// The same text where HTML would mean something by it.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// SHA-256 in Base64, as content security policies have it.
fn digest(text: &str) -> String {
    use sha2::Digest;
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = sha2::Sha256::digest(text.as_bytes());
    let mut encoded = String::new();
    for group in digest.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for at in 0..=group.len() {
            let digit = bits >> (18 - 6 * at) & 63;
            encoded.push(char::from(DIGITS[usize::try_from(digit).unwrap_or_default()]));
        }
    }
    while !encoded.len().is_multiple_of(4) {
        encoded.push('=');
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_browsers_compute() {
        assert_eq!(digest(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}

//! An endpoint of webhooks that accepts everything.

use std::sync::OnceLock;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Its address: one for the whole process, on a thread of its own.
pub(super) fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hooks", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(accept(listener));
        });
        url
    })
}

async fn accept(listener: std::net::TcpListener) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((mut client, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut heard = Vec::new();
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = client.read(&mut part).await {
                heard.extend(&part[..read]);
                if is_whole(&heard) {
                    heard.clear();
                    let answer = b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n";
                    if client.write_all(answer).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Is there a whole request?
fn is_whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    body.len() >= length.unwrap_or(0)
}

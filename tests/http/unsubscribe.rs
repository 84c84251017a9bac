//! One click to unsubscribe, for mail programs and for people.

use crate::client::Request;
use crate::served::Served;

async fn with_token() -> (Served, String) {
    let served = Served::new().await;
    served.customer("acme").await;
    served.test.periodd(&["orgs", "set", "acme", "--contact", "ann@acme.example"]).exits(0);
    served
        .test
        .sql(
            "insert into periodd_unsubscribe_tokens (org_id, email)
         select id, 'ann@acme.example' from organizations",
        )
        .await;
    let token = served
        .test
        .rows(
            "select replace(org_id::text, '-', '') || replace(token::text, '-', '')
         from periodd_unsubscribe_tokens",
        )
        .await
        .concat();
    (served, token)
}

fn posted(token: &str, body: &str, media_type: &str) -> Request {
    let path = format!("/unsubscribe/{token}");
    let request = Request { method: "POST", body: Some(body.to_owned()), ..Request::get(&path) };
    request.with("content-type", media_type)
}

const OPTED_OUT: &str = "select count(*) from org_contacts where opted_out_at is not null";
const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test(flavor = "multi_thread")]
async fn reading_changes_nothing_and_one_click_does() {
    let (served, token) = with_token().await;
    let page = served.bare(Request::get(&format!("/unsubscribe/{token}"))).await.is(200);
    assert!(page.body.contains("<button>Unsubscribe</button>"));
    let head = Request { method: "HEAD", ..Request::get(&format!("/unsubscribe/{token}")) };
    served.bare(head).await.is(200);
    assert_eq!(served.test.rows(OPTED_OUT).await, ["0"]);
    // As mail programs send it, twice.
    for _ in 0..2 {
        served.bare(posted(&token, "List-Unsubscribe=One-Click", FORM)).await.is(200);
        assert_eq!(served.test.rows(OPTED_OUT).await, ["1"]);
    }
    served.bare(posted(&token, "action=undo", FORM)).await.is(200);
    assert_eq!(served.test.rows(OPTED_OUT).await, ["0"]);
    let multipart = "--b\r\ncontent-disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\n\
                     One-Click\r\n--b--\r\n";
    served.bare(posted(&token, multipart, "multipart/form-data; boundary=b")).await.is(200);
    assert_eq!(served.test.rows(OPTED_OUT).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_names_nobody_gets_the_same_page() {
    let (served, token) = with_token().await;
    let unknown = "0".repeat(64);
    for known in ["x", "%20", &unknown] {
        let (one, other) = (
            served.bare(posted(known, "List-Unsubscribe=One-Click", FORM)).await.is(200),
            served.bare(posted(&token, "List-Unsubscribe=One-Click", FORM)).await.is(200),
        );
        assert_eq!(one.body, other.body, "{known}");
    }
}

//! Endpoints that are down, slow, gone, or not who they should be.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::receiver::Receiver;
use super::{Queue, endpoint};
use crate::smtp::Certificates;

async fn endpoints(queue: &Queue) -> Vec<String> {
    let fares = "select name, failures, rests_until > now() as rests,
                        switched_off_at is not null as is_off from periodd_listeners order by 1";
    queue.test.rows(fares).await
}

#[tokio::test]
async fn an_endpoint_that_is_down_for_six_hours_misses_nothing() {
    let mut receiver = Receiver::start();
    let queue = Queue::to(&receiver, 20).await;
    receiver.stop();
    for _ in 0..24 {
        let report = queue.deliver().await;
        assert_eq!((report.webhooks.sent, report.webhooks.given_up), (0, 0), "{report:?}");
        queue.passes("15 minutes").await;
    }
    assert_eq!(queue.states().await, ["due 20"]);
    let most = "select sum(attempts) <= 16 + 23 from periodd_webhook_outbox";
    assert_eq!(queue.test.rows(most).await, ["true"], "one is tried at a time, not all");
    receiver.start_again();
    queue.passes("20 minutes").await;
    assert_eq!(queue.deliver().await.webhooks.sent, 20);
    assert_eq!(receiver.received().len(), 20);
    assert_eq!(endpoints(&queue).await, ["app 0 - false"]);
}

#[tokio::test]
async fn a_message_is_given_up_after_three_days_and_can_be_sent_again() {
    let receiver = Receiver::start();
    let queue = Queue::to(&receiver, 2).await;
    receiver.answers("500");
    assert_eq!(queue.deliver().await.webhooks.postponed, 2);
    queue.passes("71 hours").await;
    assert_eq!(queue.deliver().await.webhooks.given_up, 0);
    queue.passes("2 hours").await;
    let report = queue.deliver().await;
    assert_eq!((report.webhooks.given_up, report.gave_up()), (2, true), "{report:?}");
    let said = "select distinct answer from periodd_webhook_outbox";
    let said = queue.test.rows(said).await.concat();
    assert!(said.contains("500"), "{said}");
    // By the id that it had.
    receiver.answers("200");
    let mut command = queue.test.command(&["alerts", "resend", "--state", "given_up"]);
    let answer = command.env("SECRET", super::receiver::SECRET).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(answer.status.success(), "{text}");
    assert_eq!(queue.states().await, ["sent 2"]);
    let mut ids: Vec<String> = receiver.received().iter().map(|one| one.id().to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

#[tokio::test]
async fn nothing_is_given_up_without_an_attempt_where_one_can_be_made() {
    let receiver = Receiver::start();
    let queue = Queue::to(&receiver, 3).await;
    // Nobody delivers for a while; and one endpoint is gone from the configuration, one is off.
    queue
        .test
        .sql(
            "insert into periodd_listeners (channel, name, switched_off_at)
                 values ('webhook', 'off', now());
             update periodd_webhook_outbox set endpoint = 'gone' where org_id = md5('org 1')::uuid;
             update periodd_webhook_outbox set endpoint = 'off' where org_id = md5('org 2')::uuid",
        )
        .await;
    queue.passes("80 hours").await;
    let report = queue.deliver().await;
    assert_eq!((report.webhooks.sent, report.webhooks.given_up), (1, 2), "{report:?}");
    let given_up =
        "select endpoint from periodd_webhook_outbox where state = 'given_up' order by 1";
    assert_eq!(queue.test.rows(given_up).await, ["gone", "off"]);
}

#[tokio::test]
async fn an_endpoint_that_never_answers_holds_up_neither_another_nor_the_delivery() {
    let (slow, well) = (Receiver::start(), Receiver::start());
    slow.answers("hang");
    let blocks = endpoint("slow", &slow.url(), "timeout = \"1s\"");
    let queue = Queue::new(40, &format!("{blocks}{}", endpoint("well", &well.url(), ""))).await;
    let report = queue.deliver().await;
    assert_eq!(report.webhooks.sent, 40, "{report:?}");
    assert_eq!(well.received().len(), 40);
    let fault = &report.webhooks.faults[0];
    assert_eq!(fault.endpoint, "slow");
    assert!(fault.reason.contains("within 1 s"), "{fault:?}");
    // Those that were under way, and no other: it is out of order.
    assert!(slow.received().len() <= 16, "{}", slow.received().len());
    // One is tried after a while.
    queue.passes("1 minute").await;
    let before = slow.received().len();
    queue.deliver().await;
    assert_eq!(slow.received().len(), before + 1);
}

#[tokio::test]
async fn what_is_answered_into_the_void_is_sent_once_more_by_the_same_id() {
    for mode in ["void", "cut"] {
        let receiver = Receiver::start();
        let queue = Queue::to(&receiver, 1).await;
        receiver.answers(mode);
        let report = queue.deliver().await;
        assert_eq!((report.webhooks.sent, report.webhooks.postponed), (0, 1), "{report:?}");
        receiver.answers("200");
        queue.passes("3 minutes").await;
        assert_eq!(queue.deliver().await.webhooks.sent, 1);
        let received = receiver.received();
        assert_eq!((received.len(), received[0].id()), (2, received[1].id()), "{mode}");
        assert_eq!(received[0].body, received[1].body);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_switched_off_until_somebody_resumes_it() {
    let receiver = Receiver::start();
    let queue = Queue::to(&receiver, 1).await;
    receiver.answers("410");
    queue.deliver().await;
    assert_eq!(endpoints(&queue).await, ["app 1 true true"]);
    queue.passes("1 day").await;
    receiver.answers("200");
    assert_eq!(queue.deliver().await.webhooks.sent, 0);
    let status = queue.test.periodd(&["status", "--format", "json"]);
    let findings = status.json()["findings"].clone();
    let found = findings.as_array().expect("findings").iter();
    let off = found.filter(|finding| finding["check"] == "webhook_off").count();
    assert_eq!(off, 1, "{findings}");
    queue.test.periodd(&["webhooks", "resume", "app"]).exits(0);
    assert_eq!(queue.deliver().await.webhooks.sent, 1);
}

#[tokio::test]
async fn an_endpoint_stays_off_whatever_happens_to_those_who_asked_before() {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", server.local_addr().expect("an address"));
    let queue = Queue::new(1, &endpoint("app", &url, "")).await;
    let config = queue.config();
    let beside = async {
        let (first, _) = server.accept().await.expect("a client");
        let grant = "select grant_overage_pack(md5('org 1')::uuid, 'scrapes', 1, 'another')";
        queue.test.sql(grant).await;
        let gone = async {
            let (mut second, _) = server.accept().await.expect("another client");
            assert!(second.read(&mut [0; 4096]).await.expect("a request") > 0);
            let answer = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
            second.write_all(answer).await.expect("it is there");
            second
        };
        let (report, _) = tokio::join!(queue.deliver_as(&config), gone);
        // The first one ends after that, without an answer.
        drop(first);
        report
    };
    let (first, second) = tokio::join!(queue.deliver_as(&config), beside);
    assert_eq!((first.webhooks.postponed, second.webhooks.postponed), (1, 1));
    assert_eq!(endpoints(&queue).await, ["app 1 true true"]);
}

#[tokio::test]
async fn an_endpoint_is_left_for_as_long_as_it_asks() {
    for (status, mode) in ["429", "502", "503", "504"].map(|code| (code, format!("{code} 7200"))) {
        let receiver = Receiver::start();
        let queue = Queue::to(&receiver, 1).await;
        receiver.answers(&mode);
        queue.deliver().await;
        receiver.answers("200");
        queue.passes("110 minutes").await;
        assert_eq!(queue.deliver().await.webhooks.sent, 0, "{status}");
        queue.passes("11 minutes").await;
        assert_eq!(queue.deliver().await.webhooks.sent, 1, "{status}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let (receiver, inside) = (Receiver::start(), Receiver::start());
    let queue = Queue::to(&receiver, 1).await;
    receiver.answers(&format!("redirect {}", inside.url()));
    assert_eq!(queue.deliver().await.webhooks.postponed, 1);
    assert_eq!((receiver.received().len(), inside.received().len()), (1, 0));
}

#[tokio::test]
async fn only_a_certificate_that_is_trusted_for_the_host_is_taken() {
    let good = Certificates::of("127.0.0.1");
    let receiver = Receiver::encrypted(&good);
    let trusting = |certificates: &Certificates| {
        let file = certificates.ca_file().display().to_string();
        endpoint("app", &receiver.url(), &format!("ca_file = \"{file}\""))
    };
    let queue = Queue::new(1, &trusting(&good)).await;
    assert_eq!(queue.deliver().await.webhooks.sent, 1);
    // From another authority; and for another host.
    for (host, is_trusted) in [("127.0.0.1", false), ("app.example.com", true)] {
        let certificates = Certificates::of(host);
        let other = Receiver::encrypted(&certificates);
        let file = if is_trusted { certificates.ca_file() } else { good.ca_file() };
        let file = file.display();
        let block = endpoint("app", &other.url(), &format!("ca_file = \"{file}\""));
        let queue = Queue::new(1, &block).await;
        let report = queue.deliver().await;
        assert_eq!((report.webhooks.sent, report.webhooks.postponed), (0, 1), "{report:?}");
        assert!(report.webhooks.faults[0].reason.contains("certificate"), "{report:?}");
        assert_eq!(other.received().len(), 0, "nothing is said before");
    }
}

#[tokio::test]
async fn an_address_that_is_not_public_is_spoken_to_only_where_the_configuration_says_so() {
    // Literals of somebody's own network, refused before anything is said.
    for url in ["https://10.255.255.1/", "https://169.254.169.254/latest", "https://[fd00::1]/"] {
        let queue = Queue::new(1, &endpoint("app", url, "")).await;
        let report = queue.deliver().await;
        let reason = &report.webhooks.faults[0].reason;
        assert!(reason.contains("not a public address"), "{url}: {reason}");
    }
}

#[tokio::test]
async fn a_long_answer_is_read_and_kept_in_part() {
    let receiver = Receiver::start();
    let queue = Queue::to(&receiver, 1).await;
    receiver.answers("long");
    assert_eq!(queue.deliver().await.webhooks.postponed, 1);
    let kept = "select char_length(answer) between 100 and 400 as part, answer ~ '^500' as is_500
                from periodd_webhook_outbox";
    assert_eq!(queue.test.rows(kept).await, ["true true"]);
    let odd = "select count(*) from periodd_webhook_outbox where answer ~ '[[:cntrl:]]'";
    assert_eq!(queue.test.rows(odd).await, ["0"]);
}

#[tokio::test]
async fn a_message_whose_row_somebody_holds_keeps_no_other_for_long() {
    let receiver = Receiver::start();
    let queue = Queue::to(&receiver, 3).await;
    let mut holder = queue.test.connect().await;
    let hold = "begin; select from periodd_webhook_outbox
                where org_id = md5('org 2')::uuid for update";
    sqlx::raw_sql(hold).execute(&mut holder).await.expect("held");
    queue.deliver().await;
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("let go");
    queue.passes("1 minute").await;
    queue.deliver().await;
    assert_eq!(queue.states().await, ["sent 3"]);
}

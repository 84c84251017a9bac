//! The worked vectors, through the library and through the program.

use std::io::Write;
use std::process::{Command, Stdio};

use periodd::billing::{Calendar, Cycle, Instant, Period, TimeOfDay};
use periodd::tz::TzData;
use serde_json::json;

#[derive(serde::Deserialize)]
struct Vector {
    zone: String,
    cycle: String,
    #[serde(default = "one")]
    anchor_day: i64,
    #[serde(default = "one")]
    anchor_month: i64,
    #[serde(default)]
    anchor_time: TimeOfDay,
    at: String,
    start: String,
    end: String,
    #[serde(default)]
    note: String,
}

fn one() -> i64 {
    1
}

fn instant(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn vectors() -> Vec<Vector> {
    let read = |text| serde_json::from_str::<Vec<Vector>>(text).expect("the vectors are JSON");
    // Midnights; and quarters, half years and times of day.
    let vectors = read(include_str!("vectors.json"));
    let calendars = read(include_str!("calendar_vectors.json"));
    assert_eq!((vectors.len(), calendars.len()), (584, 500), "the vectors are all there");
    vectors.into_iter().chain(calendars).collect()
}

#[test]
fn every_worked_vector_is_met_to_the_microsecond() {
    let tz = TzData::newest();
    assert_all(|v| {
        let zone = tz.zone(&v.zone).expect("a zone of the tz database");
        let cycle = Cycle::new(&v.cycle, v.anchor_day, v.anchor_month).expect("a cycle");
        Calendar { zone, cycle, time: v.anchor_time }.period_at(instant(&v.at)).expect("in range").0
    });
}

#[test]
fn every_worked_vector_is_met_by_one_process_in_a_batch() {
    #[derive(serde::Deserialize)]
    struct Answer {
        start: String,
        end: String,
        start_local: String,
        end_local: String,
    }
    let questions: Vec<String> = vectors()
        .iter()
        .map(|v| {
            let (day, month) = (v.anchor_day, v.anchor_month);
            json!({"zone": v.zone, "cycle": v.cycle, "at": v.at,
                   "anchor_day": day, "anchor_month": month, "anchor_time": v.anchor_time})
            .to_string()
        })
        .collect();
    let output = batch(&questions.join("\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), questions.len(), "one answer per line");
    let mut answers = text.lines();
    assert_all(|_| {
        let line = answers.next().expect("an answer");
        let list: Vec<Answer> = serde_json::from_str(line).expect("a list of periods");
        let [Answer { start, end, start_local, end_local }] = &list[..] else {
            panic!("one period, because count is 1 unless written: {line}");
        };
        assert_eq!(instant(start_local), instant(start), "local time is the same instant");
        assert_eq!(instant(end_local), instant(end), "local time is the same instant");
        Period { start: instant(start), end: instant(end) }
    });
}

#[test]
fn a_bad_line_names_itself_after_the_lines_before_it_were_answered() {
    let good = r#"{"zone":"Asia/Tokyo","cycle":"daily","at":"2026-05-01T00:00:00Z","count":2}"#;
    let zone = r#"{"zone":"Asia/Tokio","cycle":"daily","at":"2026-05-01T00:00:00Z"}"#;
    let count = r#"{"zone":"Asia/Tokyo","cycle":"daily","at":"2026-05-01T00:00:00Z","count":0}"#;
    let anchor = r#"{"zone":"UTC","cycle":"weekly","anchor_day":8,"at":"2026-05-01T00:00:00Z"}"#;
    for (bad, sentence) in [
        (zone, "unknown time zone `Asia/Tokio`; did you mean Asia/Tokyo?"),
        (count, "a count of 0 is too small; use 1 or more"),
        (anchor, "anchor weekday 8 does not exist; use 1 to 7"),
        (r#"{"zone":"UTC","cycle":"daily","at":"2026-05-01"}"#, "invalid time `2026-05-01`"),
        (r#"{"zone":"UTC","cycle":"hourly","at":""}"#, "unknown cycle `hourly`"),
        (r#"{"zone":"UTC","cycle":"daily"}"#, "the key `at` is missing"),
        (r#"{"zone":"UTC","cylce":"daily"}"#, "unknown key `cylce`; did you mean `cycle`?"),
        (
            r#"{"zone":"UTC","cycle":"daily","anchor_time":"24:00","at":"2026-05-01T00:00:00Z"}"#,
            "invalid time of day `24:00`",
        ),
        (r#"{"zone":"UTC","anchorDay":1}"#, "unknown key `anchorDay`; did you mean `anchor_day`?"),
        ("", "empty line"),
        ("[1]", "expected an object"),
        ("nonsense", "invalid JSON"),
    ] {
        let output = batch(&format!("{good}\n{good}\n{bad}\n{good}\n"));
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert!(said.starts_with("periodd: standard input, line 3"), "{bad}: {said}");
        assert!(said.contains(sentence), "{bad}: {said}");
        assert_eq!(said.lines().count(), 1, "one sentence: {said}");
        let answers = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(answers.lines().count(), 2, "the two lines before it, and none after");
    }
}

#[test]
fn a_line_may_carry_a_label_and_leave_the_anchors_open() {
    let line = r#"{"org":"a\"b","zone":"asia/tokyo","cycle":"monthly","anchor_day":null,
        "at":"2026-05-05T00:00:00+09:00"}"#;
    let output = batch(&line.replace('\n', ""));
    let expected = json!([{
        "start": "2026-04-30T15:00:00Z",
        "end": "2026-05-31T15:00:00Z",
        "start_local": "2026-05-01T00:00:00+09:00",
        "end_local": "2026-06-01T00:00:00+09:00",
    }]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{expected}\n"));
}

/// Runs `periodd periods --batch` on that input.
fn batch(input: &str) -> std::process::Output {
    let mut periodd = Command::new(env!("CARGO_BIN_EXE_periodd"))
        .args(["periods", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = periodd.stdin.take().expect("piped");
    let input = input.to_owned();
    // Written beside the reading, because both pipes are shorter than the vectors.
    let writer = std::thread::spawn(move || {
        // The program stops reading at a bad line, so the rest may find a closed pipe.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = periodd.wait_with_output().expect("the program ends");
    writer.join().expect("the writer ends");
    output
}

/// Compares what `period` finds for each vector, in their order, and shows all that differ.
fn assert_all(mut period: impl FnMut(&Vector) -> Period) {
    let vectors = vectors();
    let wrong: Vec<String> = vectors
        .iter()
        .filter_map(|v| {
            let (got, expected) =
                (period(v), Period { start: instant(&v.start), end: instant(&v.end) });
            (got != expected).then(|| {
                let Vector { zone, cycle, anchor_time, at, note, .. } = v;
                format!("{zone} {cycle} {anchor_time} {at}: {got}, expected {expected} ({note})")
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

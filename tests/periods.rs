//! Boundaries: the worked vectors, and the rule as a property over every zone.
use periodd::billing::{Calendar, Cycle, Instant};
use periodd::tzdata::TzData;

#[derive(serde::Deserialize)]
struct Vector {
    zone: String,
    cycle: String,
    #[serde(default = "one")]
    anchor_day: i64,
    #[serde(default = "one")]
    anchor_month: i64,
    at: String,
    start: String,
    end: String,
    note: String,
}

fn one() -> i64 {
    1
}

#[test]
fn every_worked_vector_is_met_to_the_microsecond() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("period_vectors.json")).expect("the vectors are JSON");
    assert!(vectors.len() > 500, "the vectors are all there");
    let tz = TzData::newest();
    let mut wrong = Vec::new();
    for v in &vectors {
        let zone = tz.zone(&v.zone).expect("a zone of the tz database");
        let cycle = Cycle::new(&v.cycle, v.anchor_day, v.anchor_month).expect("a cycle");
        let at: Instant = v.at.parse().expect("an instant");
        let (period, _) = Calendar { zone, cycle }.period_at(at).expect("in range");
        let expected = (v.start.parse::<Instant>().unwrap(), v.end.parse::<Instant>().unwrap());
        if (period.start, period.end) != expected {
            wrong.push(format!(
                "{} {} {}: got {period}, expected {expected:?} ({})",
                v.zone, v.cycle, v.at, v.note
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

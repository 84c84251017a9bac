//! Events as JSON, one to a line: the fields of an event beside its time, level and target. What is
//! an object in the domain (`counts`) is one in the line, too, for whoever searches in it.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The field that carries an object, written as JSON: an event's own values are flat.
const OBJECT: &str = "counts";
/// Fields of libraries that log by the `log` crate: their target, and what nobody looks for.
const LOG_TARGET: &str = "log.target";
const LOG_FIELDS: &str = "log.";

/// Writes events as JSON.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Line::default();
        line.put("timestamp", time);
        line.put("level", event.metadata().level().as_str());
        event.record(&mut line);
        let target = line.target.take().unwrap_or_else(|| event.metadata().target().to_owned());
        line.put("target", target);
        writeln!(writer, "{}", Value::Object(line.fields))
    }
}

#[derive(Default)]
struct Line {
    fields: Map<String, Value>,
    /// Of an event that a library logged by the `log` crate.
    target: Option<String>,
}

impl Line {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.trim_start_matches("r#").to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            LOG_TARGET => self.target = Some(value.to_owned()),
            name if name.starts_with(LOG_FIELDS) => {}
            OBJECT => {
                let object = serde_json::from_str(value);
                self.put(OBJECT, object.unwrap_or_else(|_| Value::from(value)));
            }
            name => self.put(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !field.name().starts_with(LOG_FIELDS) {
            self.put(field.name(), format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn counts_are_an_object_and_everything_else_is_as_it_was_said() {
        let log = Log::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().event_format(Json);
        let subscriber = subscriber.with_writer(move || to.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let counts = r#"{"orgs":412,"parked":0}"#;
            let (none, late) = (None::<&str>, -3_i64);
            tracing::warn!(counts, none, late, other = counts, shown = %"a\nb", "it {}", "is");
            tracing::info!(counts = "12", "odd");
        });
        let text = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(text).expect("text");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let [first, second] = &lines[..] else { panic!("{text}") };
        assert_eq!(first["counts"]["orgs"], 412, "{first}");
        assert_eq!(first["other"], r#"{"orgs":412,"parked":0}"#);
        assert_eq!((&first["message"], &first["level"]), (&"it is".into(), &"WARN".into()));
        assert_eq!((&first["late"], &first["shown"]), (&(-3).into(), &"a\nb".into()));
        assert!(first.get("none").is_none() && second["counts"] == 12, "{text}");
        assert_eq!(first["target"], "periodd::telemetry::json::tests");
        assert!(first["timestamp"].as_str().expect("text").parse::<jiff::Timestamp>().is_ok());
    }
}

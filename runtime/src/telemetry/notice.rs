//! Lines that are no events: about the process as a whole, and about the log itself.

use super::format::LogFormat;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

/// What to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notice<'a> {
    level: &'static str,
    target: &'a str,
    message: &'a str,
}

impl<'a> Notice<'a> {
    pub(super) const fn warning(target: &'a str, message: &'a str) -> Self {
        Self {
            level: "WARN",
            target,
            message,
        }
    }

    pub(super) const fn error(target: &'a str, message: &'a str) -> Self {
        Self {
            level: "ERROR",
            target,
            message,
        }
    }
}

/// Returns a notice as a line of the log, in the form that events have there.
pub(super) fn line(format: LogFormat, notice: &Notice<'_>) -> Vec<u8> {
    let Notice {
        level,
        target,
        message,
    } = notice;
    let mut time = String::new();
    // A text takes whatever is written.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let line = match format {
        LogFormat::Compact => format!("{time} {level:>5} {target}: {message}\n"),
        LogFormat::Json => {
            let event = serde_json::json!({
                "timestamp": time,
                "level": level,
                "fields": { "message": message },
                "target": target,
            });
            format!("{event}\n")
        }
    };
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_look_like_events() {
        let notice = Notice::warning("titan_runtime::pop", "three \"lines\"\nlost");
        let compact = String::from_utf8(line(LogFormat::Compact, &notice)).unwrap();
        assert!(
            compact.ends_with("Z  WARN titan_runtime::pop: three \"lines\"\nlost\n"),
            "{compact}"
        );
        let json = line(LogFormat::Json, &notice);
        let (end, json) = json.split_last().unwrap();
        assert_eq!(*end, b'\n');
        assert!(!json.contains(&b'\n'), "one line each");
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["level"], "WARN");
        assert_eq!(json["fields"]["message"], "three \"lines\"\nlost");
        assert_eq!(json["target"], "titan_runtime::pop");
    }
}

//! The table of frames, held against the schema and docs/protocol.md.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::Path;
use titan_proto::wire::MessageType;
use titan_proto::{Class, FrameKind, Party, Sender, is_numbered, limits};

/// The rows of the table of types in docs/protocol.md, cell by cell.
fn documented() -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("\n### Types\n").unwrap();
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

fn schema_name(number: u32) -> Option<&'static str> {
    let kind = MessageType::try_from(i32::try_from(number).unwrap()).ok()?;
    Some(kind.as_str_name())
}

/// Returns the cells of a frame but for its payload.
fn row(kind: FrameKind) -> [String; 5] {
    let schema = schema_name(kind.number()).unwrap();
    let name = if schema == kind.name() {
        schema.to_owned()
    } else {
        format!("{} (`{schema}`)", kind.name())
    };
    let sender = match kind.sender() {
        Sender::Pop => "POP",
        Sender::Edge => "edge",
        Sender::Both => "both",
    };
    let class = match kind.class() {
        Class::Carrier => "carrier",
        Class::Tunnel => "tunnel",
        Class::Session => "session",
    };
    let numbered = if kind.is_numbered() { "yes" } else { "no" };
    let number = kind.number().to_string();
    [name, number, sender.into(), class.into(), numbered.into()]
}

#[test]
fn the_documented_table_is_that_of_the_code() {
    let (legacy, rows): (Vec<_>, Vec<_>) = documented()
        .into_iter()
        .partition(|row| row.last().is_some_and(|payload| payload == "legacy only"));
    let rows: Vec<_> = rows.iter().map(|row| row[..5].to_vec()).collect();
    let table: Vec<_> = FrameKind::ALL
        .iter()
        .map(|kind| row(*kind).to_vec())
        .collect();
    assert_eq!(rows, table);
    let legacy: Vec<_> = legacy
        .iter()
        .map(|row| (row[1].parse().unwrap(), row[0].trim_matches('`').to_owned()))
        .collect();
    let left: Vec<(u32, _)> = (1..1000)
        .filter(|number| FrameKind::from_number(*number).is_none())
        .filter_map(|number| Some((number, schema_name(number)?.to_owned())))
        .collect();
    assert_eq!(legacy, left, "types of the schema that are no frames");
}

#[test]
fn kinds_have_the_names_of_the_schema() {
    for &kind in FrameKind::ALL {
        let schema = schema_name(kind.number()).unwrap();
        let short = schema.trim_start_matches("PROXY_SESSION_");
        let short = short.trim_start_matches("PROXY_").trim_end_matches("_DATA");
        assert_eq!(kind.name(), short);
    }
}

#[test]
fn kinds_are_found_by_their_numbers() {
    assert!(FrameKind::ALL.is_sorted_by_key(|kind| kind.number()));
    for &kind in FrameKind::ALL {
        assert_eq!(FrameKind::from_number(kind.number()), Some(kind));
        assert_eq!(is_numbered(kind.number()), kind.is_numbered());
    }
    for (number, numbered) in [
        (0, true),
        (10, true),
        (63, true),
        (68, false),
        (u32::MAX, false),
    ] {
        assert_eq!(FrameKind::from_number(number), None);
        assert_eq!(is_numbered(number), numbered, "{number}");
    }
}

/// What is numbered is a matter of the wire: types below 64 but for datagrams.
#[test]
fn numbers_follow_the_rule_of_the_wire() {
    for &kind in FrameKind::ALL {
        let number = kind.number();
        assert_eq!(kind.is_numbered(), number < 64 && number != 5, "{number}");
        let long = matches!(kind, FrameKind::Data | FrameKind::Udp);
        assert_eq!(kind.payload_max() == limits::DATA_MAX, long, "{number}");
    }
}

#[test]
fn every_frame_has_a_sender() {
    for &kind in FrameKind::ALL {
        let (pop, edge) = (kind.is_sent_by(Party::Pop), kind.is_sent_by(Party::Edge));
        let expected = match kind.sender() {
            Sender::Pop => (true, false),
            Sender::Edge => (false, true),
            Sender::Both => (true, true),
        };
        assert_eq!((pop, edge), expected);
    }
}

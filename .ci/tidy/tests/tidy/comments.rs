//! Doc comments that cannot be read without what stands before them.

/// How a comment begins that goes on with another one.
const LEANING: [&str; 6] = [
    "And ",
    "Or ",
    "Nor ",
    "Does so ",
    "Does the same",
    "The same ",
];

/// Packages that are not in order yet.
const LATER: &str = "runtime/";

/// Returns the doc comments of a file that begin with a reference to another one.
pub(crate) fn leaning(path: &str, text: &str) -> Vec<String> {
    if path.starts_with(LATER) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut within = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let comment = ["///", "//!"]
            .iter()
            .find_map(|mark| line.strip_prefix(mark));
        if let Some(comment) = comment.map(str::trim_start)
            && !within
            && LEANING.iter().any(|word| comment.starts_with(word))
        {
            found.push(format!("{path}:{number} does not stand alone: {comment}"));
        }
        within = comment.is_some();
    }
    found
}

#[test]
fn a_comment_that_leans_on_another_is_found_by_its_first_words() {
    let text = "/// And the second.\n/// Or so.\nfn a() {}\n    /// Does the same.\n// And why.\n/// Andes.";
    let found = leaning("core/src/a.rs", text);
    assert_eq!(
        found,
        [
            "core/src/a.rs:1 does not stand alone: And the second.",
            "core/src/a.rs:4 does not stand alone: Does the same."
        ]
    );
}

//! Modules that need each other, so that none can be understood alone.

use crate::exceptions::Finding;
use crate::modules::Graph;
use std::collections::{BTreeMap, BTreeSet};

/// Returns each largest set of modules in which every one leads to every other.
pub(crate) fn within(graph: &Graph) -> Vec<Finding> {
    let reached: BTreeMap<_, _> = graph
        .edges
        .keys()
        .map(|module| (module.as_str(), reachable(graph, module)))
        .collect();
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for (&module, others) in &reached {
        if !done.insert(module) {
            continue;
        }
        let circle: Vec<_> = others
            .iter()
            .filter(|other| **other != module && reached[*other].contains(module))
            .copied()
            .collect();
        if circle.is_empty() {
            continue;
        }
        done.extend(circle.iter().copied());
        let name = format!("{} {module}", graph.package);
        found.push(Finding {
            about: format!(
                "{name} is in a circle of {} with {}",
                circle.len() + 1,
                circle.join(", ")
            ),
            name,
            size: circle.len() + 1,
        });
    }
    found
}

/// Returns the modules that one names, those they name, and so on.
fn reachable<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for other in graph.edges.get(module).into_iter().flatten() {
            if found.insert(other.as_str()) {
                next.push(other);
            }
        }
    }
    found
}

#[test]
fn circles_are_told_apart_and_a_line_is_none() {
    let edges = [
        ("a", vec!["b"]),
        ("b", vec!["c"]),
        ("c", vec!["a", "d"]),
        ("d", vec!["e"]),
        ("e", vec!["d"]),
        ("f", vec!["a"]),
    ];
    let graph = Graph {
        package: "core".to_owned(),
        edges: edges
            .into_iter()
            .map(|(from, to)| (from.to_owned(), to.into_iter().map(str::to_owned).collect()))
            .collect(),
    };
    let found = within(&graph);
    let found: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.size)).collect();
    assert_eq!(found, [("core a", 3), ("core d", 2)]);
}

//! scratch
use std::time::Instant;
use titan_sim::pure::{run_seed};
fn main() {
    if std::env::args().nth(1).as_deref() == Some("replay") { let sc = titan_sim::pure::Scenario::draw(std::env::args().nth(2).unwrap().parse().unwrap()); println!("{}", sc.to_text()); let (r, l) = titan_sim::pure::run_with_log(&sc); for l in l { println!("{l}"); } println!("{r:?}"); return; }
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let from: u64 = std::env::args().nth(2).map_or(0, |s| s.parse().unwrap());
    let t = Instant::now();
    let mut actions = vec![]; let mut faults = vec![]; let mut bad = std::collections::BTreeMap::<String, Vec<u64>>::new();
    let (mut c, mut f) = (0, 0);
    for seed in from..from+n {
        match run_seed(seed) {
            Ok(o) => { actions.push(o.actions); faults.push(o.faults); c += o.complete; f += o.failed; }
            Err(v) => { let key: String = v.message.chars().map(|c| if c.is_ascii_digit() {'#'} else {c}).take(110).collect(); bad.entry(key).or_default().push(seed); if bad.len() < 40 { eprintln!("{seed}: {v}"); } }
        }
    }
    actions.sort(); faults.sort();
    let e = t.elapsed();
    println!("{} seeds in {:?}: {:.0}/min; median actions {} faults {}; max actions {}; complete {c} failed {f}", n, e, n as f64 / e.as_secs_f64() * 60.0, actions[actions.len()/2], faults[faults.len()/2], actions.last().unwrap());
    for (k, s) in bad { println!("{:5} {:?} {k}", s.len(), &s[..s.len().min(5)]); }
}

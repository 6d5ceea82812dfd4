//! What a scenario file can get wrong about users.

use super::spec::{Act, UserBytes, UserRate};
use crate::daemons::scenario::{Fault, Mode, Scenario};
use crate::daemons::units::Time;
use crate::overlay::{FAST, TRUTHFUL};
use titan_runtime::auth::is_user_name;

/// Checks what is said of users.
///
/// # Errors
/// Says what is wrong.
pub(in crate::daemons) fn check(scenario: &Scenario) -> Result<(), String> {
    let users = &scenario.users;
    for (index, user) in users.iter().enumerate() {
        let name = &user.name;
        if !is_user_name(name) || [FAST, TRUTHFUL].contains(&name.as_str()) {
            return Err(format!("{name:?} is no name for a user"));
        }
        if users[..index].iter().any(|other| other.name == *name) {
            return Err(format!("there are two users {name:?}"));
        }
        check_seconds(user.starts)?;
        check_seconds(user.expires)?;
    }
    for flows in &scenario.flows {
        let name = &flows.name;
        match &flows.user {
            Some(user) => check_user(scenario, user)?,
            None if flows.password.is_some() => {
                return Err(format!("flows {name:?} have a password and no user"));
            }
            None => {}
        }
        if flows.user.is_some() && flows.mode == Mode::Truthful {
            return Err(format!("flows {name:?}: the clients of users are fast"));
        }
    }
    for timed in &scenario.acts {
        check_act(scenario, &timed.act)?;
    }
    if users.is_empty() {
        return Ok(());
    }
    for timed in &scenario.faults {
        match &timed.fault {
            Fault::Store { lasts: None, .. } => {
                return Err("with users a store has to be mended: lasts".to_owned());
            }
            // What a process has told stands under its POP's id.
            Fault::Impersonate { .. } => {
                return Err("with users no POP takes another's id".to_owned());
            }
            Fault::Kill(_)
            | Fault::Hang(_)
            | Fault::Stop(_)
            | Fault::Drain(_)
            | Fault::PowerLoss(_)
            | Fault::Cut { .. }
            | Fault::Hold(_)
            | Fault::Partition(_)
            | Fault::Latency { .. }
            | Fault::SlowReader { .. }
            | Fault::Store { .. }
            | Fault::Failover { .. }
            | Fault::Clock { .. } => {}
        }
    }
    Ok(())
}

fn check_act(scenario: &Scenario, act: &Act) -> Result<(), String> {
    check_user(scenario, act.user())?;
    let user = scenario
        .users
        .iter()
        .find(|user| user.name == act.user() && user.quota.is_some());
    if act.is_about_quota() && user.is_none() {
        let user = act.user();
        return Err(format!("user {user:?} has no quota that could be changed"));
    }
    match act {
        Act::Set { expires, .. } => check_seconds(*expires),
        Act::Password { .. }
        | Act::Add { .. }
        | Act::Take { .. }
        | Act::Reset { .. }
        | Act::Delete { .. } => Ok(()),
    }
}

fn check_user(scenario: &Scenario, name: &str) -> Result<(), String> {
    if scenario.users.iter().any(|user| user.name == name) {
        return Ok(());
    }
    Err(format!("there is no user {name:?}"))
}

fn check_seconds(time: Option<Time>) -> Result<(), String> {
    match time {
        Some(time) if !time.as_millis().is_multiple_of(1_000) => {
            Err(format!("{time} is no whole number of seconds"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks whom an expectation is about, and its bounds.
pub(in crate::daemons) fn check_bytes(
    scenario: &Scenario,
    bytes: &UserBytes,
) -> Result<(), String> {
    if bytes.at_least.is_none() && bytes.at_most.is_none() {
        return Err("bytes of a user are at_least or at_most so many".to_owned());
    }
    check_user(scenario, &bytes.user)
}

/// Checks whom, where and when an expectation is about.
pub(in crate::daemons) fn check_rate(scenario: &Scenario, rate: &UserRate) -> Result<(), String> {
    if rate.pop == 0 || rate.pop > scenario.topology.pops.into() {
        return Err("a rate is that of a POP that is there".to_owned());
    }
    if rate.from >= rate.until || (rate.up.is_none() && rate.down.is_none()) {
        return Err("a rate is up or down, from a time until a later one".to_owned());
    }
    check_user(scenario, &rate.user)
}

//! curl, as an application would use the proxy.

use crate::content::Content;
use crate::process::Process;
use crate::server::PATIENCE;
use crate::socks::USER;
use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// Returns a curl that goes through the proxy whatever the environment says.
pub(crate) fn curl(proxy: SocketAddr) -> Command {
    let mut command = Command::new("curl");
    command
        .args([
            "-q",
            "-sS",
            "--no-progress-meter",
            "--fail",
            "--noproxy",
            "",
            "--proxy",
        ])
        .arg(format!("socks5h://{}:{}@{proxy}", USER.0, USER.1))
        .args(["--max-time", &PATIENCE.as_secs().to_string()]);
    command
}

/// Runs curl and compares what it prints, as it comes. Returns curl's exit code.
pub(crate) fn download(command: &mut Command, content: Content) -> io::Result<i32> {
    let mut process = Process::spawn(command.stdout(Stdio::piped()));
    let mut output = process.child().stdout.take().unwrap();
    let outcome = content.receive_to_end(&mut output);
    drop(output);
    let code = process.wait(PATIENCE).code().unwrap_or(-1);
    outcome.map_err(|error| io::Error::other(format!("{error}; curl ended with {code}")))?;
    Ok(code)
}

/// Runs curl with `-T -` and feeds it, as it takes it. Returns curl's exit code.
pub(crate) fn upload(command: &mut Command, content: Content) -> io::Result<i32> {
    command
        .args(["-T", "-", "-H", "Expect:", "-H", "Transfer-Encoding:", "-H"])
        .arg(format!("Content-Length: {}", content.len))
        .stdin(Stdio::piped());
    let mut process = Process::spawn(command);
    let mut input = process.child().stdin.take().unwrap();
    let outcome = content.send(&mut input);
    drop(input);
    let code = process.wait(PATIENCE).code().unwrap_or(-1);
    outcome.map_err(|error| io::Error::other(format!("{error}; curl ended with {code}")))?;
    Ok(code)
}

//! TLS between application and target passes untouched.

use crate::content::Content;
use crate::server::Server;
use crate::titan::Titan;
use crate::{curl, http};
use rustls::{ServerConnection, StreamOwned};
use std::sync::Arc;
use std::time::SystemTime;
use titan_runtime::tls::{Authority, server_config};

#[test]
fn https_works_in_both_directions() {
    let files = tempfile::tempdir().unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let authority = Authority::load_or_create(files.path(), &[], now).unwrap();
    let config = server_config(&authority.cert, &authority.key).unwrap();
    let server = Server::start(move |stream| {
        let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(tls, stream);
        http::answer(&mut stream)?;
        stream.conn.send_close_notify();
        stream.conn.complete_io(&mut stream.sock).map(drop)
    });
    let titan = Titan::up();
    let curl = |content: Content| {
        let mut command = titan.curl();
        command.arg("--cacert").arg(&authority.ca);
        // The name is resolved at the edge, from the machine's own hosts file.
        command.arg(format!(
            "https://localhost:{}/{}/{}",
            server.address.port(),
            content.seed,
            content.len
        ));
        command
    };
    let (down, up) = (Content::new(1, 20 << 20), Content::new(2, 20 << 20));
    assert_eq!(curl::download(&mut curl(down), down).unwrap(), 0);
    server.outcome().unwrap();
    assert_eq!(curl::upload(&mut curl(up), up).unwrap(), 0);
    server.outcome().unwrap();
}

//! Frames through TLS.

use super::super::{
    BufferPool, CarrierStream, FrameReader, FrameWriter, Incoming, ReadOutcome, SharedBlock,
};
use core::future::poll_fn;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use titan_core::rng::Rng;
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const LEN: usize = 40_000;
const COUNT: usize = 50;

#[tokio::test]
async fn frames_cross_tls_both_ways() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["pop.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let (near, far) = duplex(16 * 1024);
    let name = ServerName::try_from("pop.test").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (near, far) = tokio::join!(
        connector.connect(name, near),
        TlsAcceptor::from(Arc::new(server)).accept(far)
    );
    let pool = || BufferPool::new(64 * 1024, 1);
    let near = CarrierStream::from(near.unwrap());
    let far = CarrierStream::from(far.unwrap());
    assert!(near.is_encrypted());
    tokio::join!(
        exchange(
            near,
            FrameWriter::client(pool(), Rng::new([1; 32])),
            FrameReader::client(LEN, Vec::new())
        ),
        exchange(far, FrameWriter::server(pool()), FrameReader::server(LEN)),
    );
}

/// Sends and receives the same frames at once on one task.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    mut writer: FrameWriter,
    mut reader: FrameReader,
) -> S {
    let (mut sent, mut received) = (0, 0);
    let mut block = SharedBlock::new();
    let mut out = Vec::new();
    poll_fn(|cx| {
        loop {
            while sent < COUNT && writer.push_message(&[sent as u8], &vec![sent as u8; LEN - 1]) {
                sent += 1;
            }
            let flushed = writer.poll_flush(cx, &mut stream).map(Result::unwrap);
            let read = reader.poll_read(cx, &mut stream, &mut block, &mut out);
            for incoming in out.drain(..) {
                let Incoming::Message(payload) = incoming else {
                    panic!("unexpected frame")
                };
                assert_eq!(payload, vec![received as u8; LEN]);
                received += 1;
            }
            match read.map(Result::unwrap) {
                core::task::Poll::Ready(ReadOutcome::End) => panic!("early end"),
                core::task::Poll::Ready(ReadOutcome::Received(_)) => {}
                core::task::Poll::Pending if sent == COUNT && received == COUNT => return flushed,
                core::task::Poll::Pending if flushed.is_pending() || sent == COUNT => {
                    return core::task::Poll::Pending;
                }
                core::task::Poll::Pending => {}
            }
        }
    })
    .await;
    // Kept until the other end is done: an end of the stream would be an error there.
    stream
}

//! `coscribe health`: whether a running server can save. Where there is no shell and no curl, as in a container, it asks.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use coscribe_terminal::print;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};

use crate::config::Listen;
use crate::net::listener::NOT_ENCRYPTED;

/// How long the server may take for each step of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of an answer, which is a line in fact.
const ANSWER_BYTES: u64 = 64 << 10;

/// Asks the server that listens there. 0 means that it can save, 1 that it cannot, or that it does not answer.
pub(crate) fn run(listen: &Listen) -> anyhow::Result<ExitCode> {
    let address = address(listen)?;
    let no_answer = || format!("no answer from {address}");
    let mut answer = ask(connect(address).with_context(no_answer)?, address).with_context(no_answer)?;
    if answer.ends_with(NOT_ENCRYPTED) {
        answer = ask(encrypted(address)?, address).with_context(no_answer)?;
    }
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("{address} does not answer as coscribe does");
    };
    print(body.as_bytes());
    let is_ready = head.starts_with("HTTP/1.1 200 ");
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where a server that listens there is reached from this machine.
fn address(listen: &Listen) -> anyhow::Result<SocketAddr> {
    let mut addresses = (listen.host(), listen.port()).to_socket_addrs();
    let first = addresses.as_mut().ok().and_then(Iterator::next);
    let mut address = first.with_context(|| format!("{listen} has no address"))?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A connection by TLS to this machine. The certificate is for the name that editors use, and cannot be checked here.
fn encrypted(address: SocketAddr) -> anyhow::Result<impl Read + Write> {
    if !address.ip().is_loopback() {
        bail!(
            "{address} speaks TLS, and its certificate cannot be checked: ask at 127.0.0.1, or give --admin-listen"
        );
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), ServerName::from(address.ip()))?;
    Ok(StreamOwned::new(client, connect(address)?))
}

fn ask(mut stream: impl Read + Write, address: SocketAddr) -> io::Result<String> {
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Accepts any certificate: nothing is told to the server, and nobody else answers on this machine.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_this_machine() {
        for (listen, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.1.2.3:80", "10.1.2.3:80")]
        {
            assert_eq!(address(&listen.parse().unwrap()).unwrap().to_string(), asked);
        }
    }
}

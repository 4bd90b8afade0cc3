//! `coscribe health`: whether a running server can save. Where there is no shell and no curl, as in a container, it asks.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::config::Listen;

/// How long the server may take for each step of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of an answer, which is a line in fact.
const ANSWER_BYTES: u64 = 64 << 10;

/// Asks the server that listens there. 0 means that it can save, 1 that it cannot, or that it does not answer.
pub(crate) fn run(listen: &Listen) -> anyhow::Result<ExitCode> {
    let address = address(listen)?;
    let answer = ask(address).with_context(|| format!("no answer from {address}"))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("{address} does not answer as coscribe does");
    };
    print!("{body}");
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

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    write!(socket, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.take(ANSWER_BYTES).read_to_string(&mut answer)?;
    Ok(answer)
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

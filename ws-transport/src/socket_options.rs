use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
};

use socket2::Socket;

/// Options of the TCP sockets of a server or of a client.
///
/// ```
/// use ws_transport::{AddressFamily, SocketOptions};
///
/// let mut options = SocketOptions::default();
/// options.family = AddressFamily::Ipv6;
/// options.send_buffer_size = Some(32 << 10);
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct SocketOptions {
    /// The IP versions to use. Default: both.
    pub family: AddressFamily,
    /// Name of the network interface to use, such as `eth0` (`SO_BINDTODEVICE`). Linux only. It may require the
    /// capability `CAP_NET_RAW`. Default: any interface.
    pub interface: Option<String>,
    /// Size of the send buffer in bytes (`SO_SNDBUF`). Linux doubles it, and no longer adapts it to the connection. A small
    /// buffer keeps little old data ahead of new messages. It limits the throughput to one buffer per round trip. Default:
    /// that of the operating system.
    pub send_buffer_size: Option<usize>,
    /// Size of the receive buffer in bytes (`SO_RCVBUF`). Linux doubles it, and no longer adapts it to the connection.
    /// Default: that of the operating system.
    pub receive_buffer_size: Option<usize>,
    configure: Option<Arc<Configure>>,
}

type Configure = dyn Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync;

/// The IP versions to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only. A listening socket does not accept IPv4 clients (`IPV6_V6ONLY`).
    Ipv6,
}

impl SocketOptions {
    /// Sets a function that configures each socket before its use: a listening socket before it is bound, an accepted
    /// socket before the first byte, and the socket of a client before it connects. If it returns an error, the socket is
    /// not used. Sockets of the Unix domain are configured when they are accepted.
    ///
    /// ```
    /// use ws_transport::SocketOptions;
    ///
    /// let mut options = SocketOptions::default();
    /// options.configure(|socket| {
    ///     let _ = socket; // for example `rustix::net::sockopt::set_ip_tos(socket, 0x10)`
    ///     Ok(())
    /// });
    /// ```
    pub fn configure(
        &mut self,
        configure: impl Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) {
        self.configure = Some(Arc::new(configure));
    }

    /// Applies the options to a socket for this address, before it is bound or connected.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is of the other family, or if an option cannot be set.
    pub(crate) fn prepare(&self, socket: &Socket, address: SocketAddr) -> io::Result<()> {
        let is_excluded = match self.family {
            AddressFamily::Any => false,
            AddressFamily::Ipv4 => address.is_ipv6(),
            AddressFamily::Ipv6 => address.is_ipv4(),
        };
        if is_excluded {
            let text = format!("the option `family` excludes this address: it is {:?}", self.family);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if self.family == AddressFamily::Ipv6 {
            socket.set_only_v6(true)?;
        }
        if let Some(interface) = &self.interface {
            bind_interface(socket, interface).map_err(|error| {
                let text = format!("cannot use the network interface {}: {error}", interface.escape_debug());
                io::Error::new(error.kind(), text)
            })?;
        }
        if let Some(bytes) = self.send_buffer_size {
            socket.set_send_buffer_size(bytes)?;
        }
        // Before the connection exists, because the size determines the scale of the window.
        if let Some(bytes) = self.receive_buffer_size {
            socket.set_recv_buffer_size(bytes)?;
        }
        self.run_hook(socket)
    }

    /// Configures an accepted socket. It has inherited the sizes of its buffers.
    ///
    /// # Errors
    ///
    /// Returns the error of the function that the application has [set](Self::configure).
    pub fn run_hook(&self, socket: &Socket) -> io::Result<()> {
        self.configure.as_ref().map_or(Ok(()), |configure| configure(socket.as_fd()))
    }
}

impl fmt::Debug for SocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketOptions")
            .field("family", &self.family)
            .field("interface", &self.interface)
            .field("send_buffer_size", &self.send_buffer_size)
            .field("receive_buffer_size", &self.receive_buffer_size)
            .finish_non_exhaustive()
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn bind_interface(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn bind_interface(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this operating system cannot select an interface by name",
    ))
}

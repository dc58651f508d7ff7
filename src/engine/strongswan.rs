//! strongSwan, as both ends of a tunnel: IKEv2, and ESP in UDP, of the kernel where it has it, else in user space (plugin
//! kernel-libipsec).

use super::{Esp, TunnelEngine, TunnelProgram, TunnelWorker};

/// `load` is a list of its own: with kernel-libipsec before kernel-netlink it is the first that gets the security
/// associations, and the second is left with addresses and routes. An end that has gone is noticed after three seconds.
const CONF: &str = "\
charon-systemd {
  load = random nonce openssl pem pkcs1 pkcs8 x509 pubkey hmac kdf constraints KERNEL socket-default vici
  retransmit_timeout = 0.5
  retransmit_base = 1
  retransmit_tries = 5
  plugins {
    vici {
      socket = unix:///run/charon.vici
    }
    kernel-libipsec {
      load = yes
    }
  }
  journal {
    default = -1
  }
  filelog {
    stderr {
      default = 1
    }
  }
}
";

fn conf(esp: Esp) -> String {
    let kernel = match esp {
        Esp::Kernel => "kernel-netlink",
        Esp::UserSpace => "kernel-libipsec kernel-netlink",
    };
    CONF.replace("KERNEL", kernel)
}

pub(super) static ENGINE: TunnelEngine = TunnelEngine {
    name: "strongswan",
    by: TunnelWorker::Program(TunnelProgram {
        package: "charon-systemd libcharon-extra-plugins",
        program: "charon-systemd",
        speaker: "swanctl",
        version: &["--version"],
        variable: ("STRONGSWAN_CONF", "/run/strongswan.conf"),
        file: ("strongswan.conf", conf),
        control: "charon.vici",
    }),
    // The program makes it where ESP is in user space.
    device: "ipsec0",
    // The device has this MTU, and what is longer is cut off.
    inner_mtu: 1400,
    // SPI and number 8, IV 8, padding 3, its length and the next header 2, ICV 16 (RFC 4303 section 2, RFC 4106): 37, where
    // WireGuard has 32.
    more: 5,
};

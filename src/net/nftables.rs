//! The packet filter of a namespace, by nf_tables over netlink and without any program. Only the table
//! [`TABLE`](crate::wire::nftables::TABLE) is ever changed; those of others are read.

use std::{io, time::Duration};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt},
};
use socket2::SockRef;

use super::namespace::Namespace;
use crate::{
    model::policy::Filter,
    wire::nftables::{
        Batch, Counter, Malformed, Refusal, Reply, Request, Ruleset, Unwritable, difference,
        replies,
    },
};

/// The kernel answers at once or never; this is for never.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a dump is repeated that was overtaken by a change.
const ATTEMPTS: usize = 8;
/// Room for a batch of some ten thousand rules.
const SEND_BUFFER: usize = 8 << 20;

/// Why a filter is not in force, or not known.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The filter has no form as rules.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// The conversation with the kernel failed.
    #[error("cannot {doing} nf_tables: {source}")]
    Socket {
        /// What was tried, as in "speak to".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The filter does not fit one message, and only one message is all or nothing.
    #[error(
        "the filter takes {octets} octets, more than one message to the kernel may have here; \
         raise the sysctl net.core.wmem_max above that, or give fewer rules"
    )]
    TooLarge {
        /// The length of the message.
        octets: usize,
    },
    /// The kernel refused a part; nothing was changed.
    #[error("the kernel refused {subject}: {}; nothing was changed{}", .errno.desc(), hint(*.errno))]
    Refused {
        /// The chain or rule.
        subject: String,
        /// The error number.
        errno: Errno,
    },
    /// The kernel refused a part and said why; nothing was changed.
    #[error("the kernel refused {subject}: {sentence} ({}); nothing was changed", .errno.desc())]
    RefusedBecause {
        /// The chain or rule.
        subject: String,
        /// The error number.
        errno: Errno,
        /// The kernel's own words.
        sentence: String,
    },
    /// The kernel's answer is not what its interface promises.
    #[error("the answer of nf_tables cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// The kernel took the batch and holds something else.
    #[error("the filter was loaded but is not in force as planned: {0}")]
    NotHeld(String),
    /// Somebody else changes the rules all the time.
    #[error("the rules changed during each of 8 readings; stop what changes them and try again")]
    Restless,
}

/// The next step, where the number says enough for one.
fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            "; this needs CAP_NET_ADMIN in the user namespace that the network namespace belongs to"
        }
        Errno::ENOENT | Errno::EOPNOTSUPP => {
            "; the kernel may lack the expression (see `sixwalk doctor`) or not offer it at this hook"
        }
        _ => "",
    }
}

/// Puts a filter in force in a namespace in the place of the one before, all or nothing, and makes sure that the kernel
/// holds exactly that. An empty filter removes our table.
pub fn replace(namespace: &Namespace, filter: &Filter) -> Result<(), NftError> {
    let batch = Batch::replacing(filter)?;
    let mut conversation = Conversation::open(namespace)?;
    conversation.carry_out(&batch)?;
    let (held, unread) = conversation.ruleset()?.own();
    let strange = unread.into_iter().next();
    match strange.or_else(|| difference(filter, &held)) {
        None => Ok(()),
        Some(what) => Err(NftError::NotHeld(what)),
    }
}

/// What a namespace filters, by our table and by those of others taken together, and a sentence for everything that the
/// words of [`Filter`] cannot say.
pub fn read(namespace: &Namespace) -> Result<(Filter, Vec<String>), NftError> {
    Ok(Conversation::open(namespace)?.ruleset()?.all())
}

/// How often each rule of our table has applied, in order.
pub fn counters(namespace: &Namespace) -> Result<Vec<Counter>, NftError> {
    Ok(Conversation::open(namespace)?.ruleset()?.counters())
}

/// A socket of netfilter in a namespace.
struct Conversation {
    socket: Socket,
    sequence: u32,
}

impl Conversation {
    fn open(namespace: &Namespace) -> Result<Self, NftError> {
        let socket = namespace.run(socket);
        let socket = socket.map_err(|source| NftError::Socket { doing: "open", source })?;
        Ok(Self { socket, sequence: 0 })
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NftError> {
        match self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {
                Err(NftError::TooLarge { octets: bytes.len() })
            }
            Err(source) => Err(NftError::Socket { doing: "write to", source }),
        }
    }

    fn receive(&self) -> Result<Vec<u8>, NftError> {
        loop {
            match self.socket.recv_from_full() {
                Ok((bytes, _)) => return Ok(bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(NftError::Socket { doing: "get an answer from", source });
                }
            }
        }
    }

    /// Sends a batch and takes every answer. The first refusal is the one that counts: those after it follow from it.
    fn carry_out(&mut self, batch: &Batch) -> Result<(), NftError> {
        self.send(&batch.bytes)?;
        let mut refused = None;
        loop {
            for (sequence, reply) in replies(&self.receive()?)? {
                let Reply::Result { result, .. } = reply else { continue };
                if let Err(refusal) = result {
                    refused.get_or_insert_with(|| refusal_of(batch.subject(sequence), refusal));
                }
                if sequence == Batch::FIRST || sequence == batch.last() {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Everything that the namespace holds, as of one moment.
    fn ruleset(&mut self) -> Result<Ruleset, NftError> {
        for _ in 0..ATTEMPTS {
            if let Some(ruleset) = self.attempt()? {
                return Ok(ruleset);
            }
        }
        Err(NftError::Restless)
    }

    /// `None` where a change overtook the reading.
    fn attempt(&mut self) -> Result<Option<Ruleset>, NftError> {
        let mut ruleset = Ruleset::default();
        let mut whole = true;
        for request in [Request::Tables, Request::Chains, Request::Rules, Request::Sets] {
            whole &= self.dump(&request, &mut ruleset)?;
        }
        for request in ruleset.missing() {
            whole &= self.dump(&request, &mut ruleset)?;
        }
        Ok(Some(ruleset).filter(|ruleset| whole && ruleset.is_of_one_moment()))
    }

    /// Whether the dump is whole.
    fn dump(&mut self, request: &Request, ruleset: &mut Ruleset) -> Result<bool, NftError> {
        self.sequence += 1;
        self.send(&request.to_bytes(self.sequence))?;
        let mut whole = true;
        loop {
            let bytes = self.receive()?;
            ruleset.take(&bytes)?;
            for (_, reply) in replies(&bytes)? {
                match reply {
                    Reply::Dump { end, overtaken } => {
                        whole &= !overtaken;
                        if end {
                            return Ok(whole);
                        }
                    }
                    Reply::Result { result: Err(refusal), .. } => return is_gone(refusal),
                    Reply::Result { result: Ok(()), .. } => return Ok(whole),
                }
            }
        }
    }
}

/// A set that was there a moment ago and is not now: the dump is not whole.
fn is_gone(refusal: Refusal) -> Result<bool, NftError> {
    match Errno::from_raw(refusal.errno) {
        Errno::ENOENT | Errno::EINTR => Ok(false),
        _ => Err(refusal_of("to list the rules", refusal)),
    }
}

fn refusal_of(subject: &str, refusal: Refusal) -> NftError {
    let (subject, errno) = (subject.to_owned(), Errno::from_raw(refusal.errno));
    match refusal.sentence {
        Some(sentence) => NftError::RefusedBecause { subject, errno, sentence },
        None => NftError::Refused { subject, errno },
    }
}

fn socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    let options = SockRef::from(&socket);
    options.set_read_timeout(Some(PATIENCE))?;
    // Beyond the system's limit only root of the machine may go; others get as much as the limit allows.
    if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        options.set_send_buffer_size(SEND_BUFFER)?;
    }
    Ok(socket)
}

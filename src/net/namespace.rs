//! A network namespace, held by a file descriptor: when the last one is closed, also by SIGKILL, the kernel takes the
//! namespace down with everything in it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    thread,
    time::Instant,
};

use nix::sched::{CloneFlags, setns, unshare};

use super::patience;

/// A network namespace of the lab. Clones share it.
#[derive(Clone, Debug)]
pub struct Namespace {
    file: Arc<File>,
}

impl Namespace {
    /// Makes a new one, with nothing in it but a loopback interface that is down.
    pub fn create() -> io::Result<Self> {
        let file = on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        })?;
        Ok(Self { file: Arc::new(file) })
    }

    /// Makes one for each item, one after another on a single thread, and runs something in each just after it is made.
    /// Stops at the first error.
    pub fn create_each<I: Sync, T: Send, E: Send + From<io::Error>>(
        items: &[I],
        inside: impl Fn(&I, Self) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E> {
        let one = |item| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
            inside(item, Self::current()?)
        };
        on_own_thread(|| Ok(items.iter().map(one).collect()))?
    }

    /// The one that this thread is in.
    pub fn current() -> io::Result<Self> {
        Ok(Self { file: Arc::new(File::open("/proc/thread-self/ns/net")?) })
    }

    /// Runs something inside, on a thread that enters the namespace and ends in it. Sockets that it opens belong to the
    /// namespace for ever and may be used from anywhere. Within a tokio runtime, the thread has its context, so that
    /// sockets can be registered with it.
    ///
    /// Never enter a namespace on a thread of the runtime: the pool would keep it.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let runtime = tokio::runtime::Handle::try_current().ok();
        let began = Instant::now();
        let result = on_own_thread(|| {
            setns(self.as_fd(), CloneFlags::CLONE_NEWNET)?;
            let _context = runtime.as_ref().map(tokio::runtime::Handle::enter);
            inside()
        });
        if runtime.is_some() {
            patience::was_held_up(began.elapsed());
        }
        result
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

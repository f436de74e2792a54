//! Memory that ends where it ends, and what is said when something touches what lies behind.
//!
//! Owns the host's mappings (the page before and the page behind each is inaccessible) and the handler of SIGSEGV and
//! SIGBUS, which names version, role, service and slot. The handler must never allocate, lock or return.

use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The exit code of a process that touched what it must not.
pub const FAULT: i32 = 70;

const PAGE: usize = 4096;

/// Bytes whose last one lies right before an inaccessible page.
pub struct Fence {
    base: usize,
    mapped: usize,
    start: usize,
    length: usize,
}

impl Fence {
    pub fn new(length: usize) -> Fence {
        let room = length.div_ceil(PAGE).max(1) * PAGE;
        let mapped = room + 2 * PAGE;
        // SAFETY: a new mapping; the pages between its first and its last are made writable.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let base = libc::mmap(std::ptr::null_mut(), mapped, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(base, libc::MAP_FAILED, "memory");
            base as usize
        };
        let fence = Fence {
            base,
            mapped,
            start: base + PAGE + room - length,
            length,
        };
        fence.protect(libc::PROT_READ | libc::PROT_WRITE);
        // Beyond that many at once a fault in one has no name, and is a fault all the same.
        if let Some(known) = FENCES.iter().find(|f| f.base.load(Ordering::Acquire) == 0) {
            known.mapped.store(mapped, Ordering::Release);
            known.start.store(fence.start, Ordering::Release);
            known.length.store(length, Ordering::Release);
            known.base.store(base, Ordering::Release);
        }
        fence
    }

    pub fn start(&self) -> *mut u8 {
        self.start as *mut u8
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self`, and is open where its users read it.
        unsafe { std::slice::from_raw_parts(self.start(), self.length) }
    }

    /// From now on any use is a fault.
    pub fn close(&self) {
        self.protect(libc::PROT_NONE);
    }

    /// From now on it may be read.
    pub fn open(&self) {
        self.protect(libc::PROT_READ);
    }

    fn protect(&self, how: i32) {
        let at = (self.base + PAGE) as *mut libc::c_void;
        // SAFETY: pages of this mapping, without its first and its last.
        let rc = unsafe { libc::mprotect(at, self.mapped - 2 * PAGE, how) };
        assert_eq!(rc, 0, "mprotect");
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        let known = |f: &&Known| f.base.load(Ordering::Acquire) == self.base;
        if let Some(known) = FENCES.iter().find(known) {
            known.base.store(0, Ordering::Release);
        }
        // SAFETY: the mapping of this value, which is not used any more.
        unsafe { libc::munmap(self.base as *mut libc::c_void, self.mapped) };
    }
}

/// A fence, for the handler; the host makes them on one thread at a time.
struct Known {
    base: AtomicUsize,
    mapped: AtomicUsize,
    start: AtomicUsize,
    length: AtomicUsize,
}

static FENCES: [Known; 256] = [const {
    Known {
        base: AtomicUsize::new(0),
        mapped: AtomicUsize::new(0),
        start: AtomicUsize::new(0),
        length: AtomicUsize::new(0),
    }
}; 256];

/// A table in a fence, for the handler.
struct Region {
    service: &'static str,
    /// Its slots, and how those behind its end are called where a version has them.
    slots: &'static [&'static str],
    count: usize,
    fence: (usize, usize),
    start: usize,
}

static REGIONS: [AtomicPtr<Region>; 64] = [const { AtomicPtr::new(std::ptr::null_mut()) }; 64];
static WHO: OnceLock<String> = OnceLock::new();
/// Addresses of slots that nothing is behind.
static NOWHERE: AtomicUsize = AtomicUsize::new(0);
/// More slots than any table has.
const MOST_SLOTS: usize = 64;

/// Tells the handler of a table: `count` slots of a service; `slots` may know the names of more.
pub fn tell(service: &'static str, slots: &'static [&'static str], count: usize, fence: &Fence) {
    let region = Box::new(Region {
        service,
        slots,
        count,
        fence: (fence.base, fence.base + fence.mapped),
        start: fence.start,
    });
    let place = REGIONS
        .iter()
        .find(|r| r.load(Ordering::Acquire).is_null())
        .expect("room for a table");
    place.store(Box::into_raw(region), Ordering::Release);
}

/// An address that faults when it is called, and tells which slot of which service it stands for.
pub fn nowhere(service: usize, slot: usize) -> usize {
    assert!(slot < MOST_SLOTS, "a table of so many slots");
    NOWHERE.load(Ordering::Acquire) + (service * MOST_SLOTS + slot) * 8
}

/// Installs the handler; `who` begins its sentence.
pub fn watch(who: String, services: usize) {
    WHO.set(who).expect("once");
    // Closed as a whole; it is never given back.
    let nowhere = Box::leak(Box::new(Fence::new(services * MOST_SLOTS * 8)));
    nowhere.close();
    NOWHERE.store(nowhere.start, Ordering::Release);
    // SAFETY: a handler that does not return; both structures are plain data and live through the calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL] {
            assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
        }
    }
}

/// A sentence without the heap.
struct Line {
    text: [u8; 512],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let n = s.len().min(self.text.len() - self.length);
        self.text[self.length..self.length + n].copy_from_slice(&s.as_bytes()[..n]);
        self.length += n;
        Ok(())
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a structure that lives through the handler; both signals have an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let mut line = Line {
        text: [0; 512],
        length: 0,
    };
    let who = WHO.get().map_or("", String::as_str);
    let _ = write!(line, "FAULT: {who}: ");
    let _ = describe(&mut line, address, signal);
    let _ = line.write_str("\n");
    // SAFETY: bytes of a live array; ending at once is the point, for nothing can go on here.
    unsafe {
        libc::write(2, line.text.as_ptr().cast(), line.length);
        libc::_exit(FAULT);
    }
}

fn describe(line: &mut Line, address: usize, signal: i32) -> std::fmt::Result {
    let regions = || {
        REGIONS.iter().filter_map(|r| {
            // SAFETY: NULL, or a region that is never freed.
            unsafe { r.load(Ordering::Acquire).as_ref() }
        })
    };
    let name = |region: &Region, slot: usize| *region.slots.get(slot).unwrap_or(&"without a name");
    if let Some(r) = regions().find(|r| (r.fence.0..r.fence.1).contains(&address)) {
        if address < r.start {
            return write!(line, "something before the table of {} was used", r.service);
        }
        let slot = (address - r.start) / 8;
        write!(
            line,
            "slot {slot} ({}) of {} was used",
            name(r, slot),
            r.service
        )?;
        return match slot < r.count {
            true => write!(line, ", and the service is not acquired"),
            false => write!(line, ", and the table has {} slots, from 0", r.count),
        };
    }
    let nowhere = NOWHERE.load(Ordering::Acquire);
    let place = address.wrapping_sub(nowhere) / 8;
    if let Some((service, slot)) = (address >= nowhere)
        .then(|| crate::versions::SERVICES.get(place / MOST_SLOTS))
        .flatten()
        .map(|s| (s, place % MOST_SLOTS))
    {
        let region = regions().find(|r| r.service == service.name);
        let name = region.map_or("", |r| name(r, slot));
        return write!(
            line,
            "slot {slot} ({name}) of {} was called, and the host has no function for it",
            service.name
        );
    }
    let fence = FENCES.iter().find_map(|f| {
        let [base, mapped, start, length] =
            [&f.base, &f.mapped, &f.start, &f.length].map(|n| n.load(Ordering::Acquire));
        (base != 0 && (base..base + mapped).contains(&address)).then_some((start, length))
    });
    if let Some((start, length)) = fence {
        let place = address.wrapping_sub(start) as isize;
        return write!(
            line,
            "byte {place} was used of {length} bytes that the host gave"
        );
    }
    write!(
        line,
        "signal {signal} at address {address:#x}, which is nothing of the host's"
    )
}

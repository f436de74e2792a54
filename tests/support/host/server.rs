//! The server that the host plays: its tables, its registry, its allocator and its books.
//!
//! Owns one table for each service that the version has, each in a fence of its own that is closed while nobody has
//! acquired the service. It must never have a slot that `versions.rs` does not name, nor a function for a slot that the
//! library is not said to use.

use crate::memory::{self, Fence};
use crate::slots;
use crate::versions::{self, SERVICES, VERSIONS, Version, Way};
use keyring_ward::mysql::abi;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What the host is to do.
pub struct Order {
    pub version: usize,
    pub role: String,
    pub library: PathBuf,
    /// The companion component's library.
    pub companion: PathBuf,
    pub plugin_dir: PathBuf,
    pub data_dir: PathBuf,
    /// The plugin's variables.
    pub variables: BTreeMap<String, String>,
    /// A service that is left out.
    pub without: Option<String>,
    /// A service whose table ends before the last slot that the library uses.
    pub cut: Option<String>,
    /// What the host does wrong on purpose.
    pub misuse: Option<String>,
}

impl Order {
    pub fn from_json(json: &Value) -> Order {
        let text = |name: &str| json[name].as_str().map(str::to_string);
        let need = |name: &str| text(name).unwrap_or_else(|| panic!("the order has no {name}"));
        let variables = json["variables"].as_object().expect("variables");
        Order {
            version: VERSIONS
                .iter()
                .position(|v| v.name == need("version"))
                .expect("a version that versions.rs has"),
            role: need("role"),
            library: need("library").into(),
            companion: need("companion").into(),
            plugin_dir: need("plugin_dir").into(),
            data_dir: need("data_dir").into(),
            variables: variables
                .iter()
                .map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_string()))
                .collect(),
            without: text("without"),
            cut: text("cut"),
            misuse: text("misuse"),
        }
    }
}

/// A service of the host.
pub struct Table {
    pub service: &'static versions::Service,
    pub slots: &'static [&'static str],
    fence: Fence,
    pub called: Vec<AtomicU64>,
    pub acquired: AtomicU64,
    pub released: AtomicU64,
}

impl Table {
    fn new(place: usize, order: &Order) -> Option<Table> {
        let service = &SERVICES[place];
        if matches!(service.way, Way::Provided | Way::Own)
            || order.without.as_deref() == Some(service.name)
        {
            return None;
        }
        let names = service.rows[order.version].slots?;
        let uses = |slot: &&str| service.uses.contains(slot);
        let count = match order.cut.as_deref() == Some(service.name) {
            true => names.iter().rposition(uses).expect("a used slot"),
            false => names.len(),
        };
        let fence = Fence::new(count * size_of::<usize>());
        for (i, slot) in names.iter().take(count).enumerate() {
            let function = match uses(slot) {
                true => slots::function(service.name, slot),
                false => memory::nowhere(place, i),
            };
            // SAFETY: `i` is below the number of slots that the fence was made for.
            unsafe { fence.start().cast::<usize>().add(i).write(function) };
        }
        // The longest of the versions' tables knows what a slot behind the end is called elsewhere.
        let rows = service.rows.iter().filter_map(|row| row.slots);
        let longest = rows.max_by_key(|slots| slots.len()).unwrap_or(names);
        memory::tell(service.name, longest, count, &fence);
        match service.way {
            Way::Exported => fence.open(),
            _ => fence.close(),
        }
        Some(Table {
            service,
            slots: names,
            fence,
            called: names.iter().map(|_| AtomicU64::new(0)).collect(),
            acquired: AtomicU64::new(0),
            released: AtomicU64::new(0),
        })
    }

    /// The address of the table, which is the handle of the service as well.
    pub fn address(&self) -> *mut c_void {
        self.fence.start().cast()
    }

    fn held(&self) -> u64 {
        self.acquired.load(SeqCst) - self.released.load(SeqCst)
    }

    /// One user more.
    pub fn acquire(&self) -> *mut c_void {
        if self.held() == 0 {
            self.fence.open();
        }
        self.acquired.fetch_add(1, SeqCst);
        self.address()
    }

    /// One user less; `false` where there was none.
    pub fn release(&self) -> bool {
        if self.held() == 0 {
            return false;
        }
        self.released.fetch_add(1, SeqCst);
        if self.held() == 0 {
            self.fence.close();
        }
        true
    }
}

/// The one host of this process.
pub struct Host {
    pub order: Order,
    tables: Vec<Table>,
    /// What the library did that no server would stand.
    problems: Mutex<Vec<String>>,
    pub log: Mutex<Vec<(c_int, String)>>,
    /// The names of the status variables that are registered.
    pub status: Mutex<Vec<String>>,
    /// The connection that calls has the privilege.
    pub granted: AtomicBool,
    /// It has the privilege of operators.
    pub operates: AtomicBool,
    /// The connection's binlog_format is STATEMENT.
    pub statements: AtomicBool,
    /// The connection is a thread of the server's own.
    pub system_thread: AtomicBool,
    /// What the last error of a statement said.
    pub last_error: Mutex<Option<String>>,
    memory: Mutex<BTreeMap<usize, Fence>>,
    pub allocated: AtomicU64,
    pub freed: AtomicU64,
    registry: Mutex<()>,
    /// Services that a component gives to another one: where the table is, and how often it is held.
    own: Mutex<BTreeMap<String, (usize, u64)>>,
    /// What the companion has registered: functions, privileges, tables.
    pub registered: Mutex<Registered>,
}

/// What a companion component registers.
#[derive(Default)]
pub struct Registered {
    pub functions: Vec<String>,
    pub privileges: Vec<String>,
    pub tables: Vec<(String, abi::kw_pfs_share)>,
}
// SAFETY: the shares point to constants and functions of a library that stays mapped.
unsafe impl Send for Registered {}

static HOST: OnceLock<Host> = OnceLock::new();

/// A lock's content, whatever happened to its last holder.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host of this process.
pub fn host() -> &'static Host {
    HOST.get().expect("the host was begun")
}

impl Host {
    /// Makes the host and its tables.
    pub fn begin(order: Order) -> &'static Host {
        let who = format!("{}, {}", VERSIONS[order.version].name, order.role);
        memory::watch(who, SERVICES.len());
        let tables = (0..SERVICES.len()).filter_map(|place| Table::new(place, &order));
        let tables = tables.collect();
        HOST.get_or_init(|| Host {
            tables,
            order,
            problems: Mutex::default(),
            log: Mutex::default(),
            status: Mutex::default(),
            granted: AtomicBool::new(false),
            operates: AtomicBool::new(false),
            statements: AtomicBool::new(false),
            system_thread: AtomicBool::new(false),
            last_error: Mutex::default(),
            memory: Mutex::default(),
            allocated: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            registry: Mutex::default(),
            own: Mutex::default(),
            registered: Mutex::default(),
        })
    }

    pub fn version(&self) -> &'static Version {
        &VERSIONS[self.order.version]
    }

    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub fn table(&self, service: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.service.name == service)
    }

    pub fn problem(&self, text: String) {
        lock(&self.problems).push(text);
    }

    pub fn problems(&self) -> Vec<String> {
        lock(&self.problems).clone()
    }

    /// Makes a problem of what does not hold.
    pub fn check(&self, holds: bool, text: &str) {
        if !holds {
            self.problem(text.to_string());
        }
    }

    /// One call more of a slot.
    pub fn count(&self, service: &str, slot: &str) {
        let table = self.table(service).expect("a table that was called");
        let place = table.slots.iter().position(|s| *s == slot);
        table.called[place.expect("a slot that was called")].fetch_add(1, SeqCst);
    }

    /// As the server's registry: by the service's name, or with an implementation's behind a dot.
    pub fn acquire(&self, name: &str) -> *mut c_void {
        let _one_at_a_time = lock(&self.registry);
        let service = name.split('.').next().unwrap_or(name);
        match versions::service(service) {
            None => self.problem(format!(
                "the library asks for {name}, of which tests/support/host/versions.rs knows nothing"
            )),
            Some((_, s)) if s.way == Way::Never && self.order.misuse.is_none() => self.problem(
                format!("the library asks for {name}, which versions.rs says that it never uses"),
            ),
            Some((_, s)) if s.way == Way::Own => {
                let mut own = lock(&self.own);
                let found = own.get_mut(name);
                return found.map_or(std::ptr::null_mut(), |(table, held)| {
                    *held += 1;
                    *table as *mut c_void
                });
            }
            Some(_) => {}
        }
        self.table(service)
            .map_or(std::ptr::null_mut(), Table::acquire)
    }

    pub fn release(&self, handle: *mut c_void) -> bool {
        let _one_at_a_time = lock(&self.registry);
        let mut own = lock(&self.own);
        let one = own
            .values_mut()
            .find(|(at, held)| *at == handle as usize && *held > 0);
        if let Some((_, held)) = one {
            *held -= 1;
            return true;
        }
        drop(own);
        let table = self.tables.iter().find(|t| t.address() == handle);
        let released = table.is_some_and(Table::release);
        let name = table.map_or("no service of the host", |t| t.service.name);
        self.check(
            released,
            &format!("released, and not acquired before: {name}"),
        );
        released
    }

    /// A component gives a service to others, or takes it back: nobody may hold it then.
    pub fn give(&self, name: &str, table: *const c_void, given: bool) {
        let mut own = lock(&self.own);
        let before = match given {
            true => own.insert(name.into(), (table as usize, 0)),
            false => own.remove(name),
        };
        self.check(
            before.is_some() != given,
            &format!("{name} is given twice, or never"),
        );
        let held = before.map_or(0, |(_, held)| held);
        self.check(held == 0, &format!("{name} is held by {held} when it goes"));
    }

    /// Memory of the server: the library must get it nowhere else.
    pub fn allocate(&self, size: usize) -> *mut c_void {
        let mut memory = lock(&self.memory);
        let fence = Fence::new(size);
        let start = fence.start();
        // SAFETY: the fence has that many bytes. What is not written shows.
        unsafe { start.write_bytes(0xA5, size) };
        memory.insert(start as usize, fence);
        self.allocated.fetch_add(1, SeqCst);
        start.cast()
    }

    /// As the server does with a key: what is there, wiped and freed. `None`: the memory is not the server's.
    pub fn take(&self, at: *mut c_void) -> Option<Vec<u8>> {
        let fence = lock(&self.memory).remove(&(at as usize))?;
        self.freed.fetch_add(1, SeqCst);
        Some(fence.bytes().to_vec())
    }
}

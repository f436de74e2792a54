//! Encrypted pages of a tablespace, opened and checked one by one.

use super::bytes::{be16, be32};
use super::info::FileKey;
use super::need::Unread;
use super::source::{Source, in_pieces};
use super::tablespace::{self, MAX_PAGE, NO_CHECKSUM, Pages};

const TYPE: usize = 24;
const ORIGINAL_TYPE: usize = 28;
const ORIGINAL_SIZE: usize = 30;
const COMPRESSED_SIZE: usize = 32;
/// Where what is encrypted begins.
const DATA: usize = 38;
const ENCRYPTED: u16 = 15;
const COMPRESSED_AND_ENCRYPTED: u16 = 16;
const ENCRYPTED_RTREE: u16 = 17;
const RTREE: u16 = 17_854;
/// At least as much of a compressed page is encrypted.
const LEAST_COMPRESSED: usize = 70;

/// How a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Not encrypted.
    Plain,
    /// It opens, and its checksum is right.
    Good,
    /// It does not.
    Bad,
}

/// How the pages of a file are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Encrypted, opened and right.
    pub good: u64,
    /// Not encrypted.
    pub plain: u64,
    /// Encrypted, and not to be opened or wrong.
    pub bad: u64,
    /// The number of the first one of these.
    pub first_bad: Option<u64>,
}

impl Counted {
    /// One more.
    pub(super) fn add(&mut self, number: u64, page: Page) {
        match page {
            Page::Plain => self.plain += 1,
            Page::Good => self.good += 1,
            Page::Bad => {
                self.bad += 1;
                self.first_bad.get_or_insert(number);
            }
        }
    }
}

/// Opens a page in place and checks it.
pub fn check(page: &mut [u8], pages: Pages, key: &FileKey) -> Page {
    match be16(page, TYPE) {
        Some(ENCRYPTED | ENCRYPTED_RTREE | COMPRESSED_AND_ENCRYPTED) => {}
        _ => return Page::Plain,
    }
    match open(page, pages, key) {
        Some(true) => Page::Good,
        _ => Page::Bad,
    }
}

fn open(page: &mut [u8], pages: Pages, key: &FileKey) -> Option<bool> {
    let kind = be16(page, TYPE)?;
    let original = match kind {
        ENCRYPTED_RTREE => RTREE,
        _ => be16(page, ORIGINAL_TYPE)?,
    };
    let compressed = kind == COMPRESSED_AND_ENCRYPTED;
    let end = match compressed {
        true => (usize::from(be16(page, COMPRESSED_SIZE)?) + DATA).max(LEAST_COMPRESSED),
        false => page.len(),
    };
    key.open(page.get_mut(DATA..end)?)?;
    page.get_mut(TYPE..TYPE + 2)?
        .copy_from_slice(&original.to_be_bytes());
    if compressed {
        return Some(decompressed_is_sound(page, pages));
    }
    Some(tablespace::is_sound(page, pages.zip) && (pages.zip || ends_alike(page)))
}

/// The end of a page repeats its checksum.
fn ends_alike(page: &[u8]) -> bool {
    let end = page.len().checked_sub(8).and_then(|at| be32(page, at));
    end.is_some() && (end == be32(page, 0) || end == Some(NO_CHECKSUM))
}

/// The data of a page that was compressed as a whole (COMPRESSION='zlib', 'lz4'), its original type in place.
fn decompressed_is_sound(page: &[u8], pages: Pages) -> bool {
    const ZLIB: u8 = 1;
    const LZ4: u8 = 2;
    let size = be16(page, COMPRESSED_SIZE).map_or(0, usize::from);
    let whole = be16(page, ORIGINAL_SIZE).map_or(0, usize::from);
    let Some(packed) = page.get(DATA..DATA + size) else {
        return false;
    };
    // A page of 64K has no place for its own size in two bytes.
    if whole + DATA > pages.logical {
        return false;
    }
    let mut clear = [0; MAX_PAGE];
    let Some(room) = clear.get_mut(DATA..DATA + whole) else {
        return false;
    };
    let filled = match page.get(27) {
        Some(&ZLIB) => inflate(packed, room),
        Some(&LZ4) => lz4_flex::block::decompress_into(packed, room).ok(),
        _ => None,
    };
    clear[..DATA].copy_from_slice(&page[..DATA]);
    let clear = clear.get(..DATA + whole).unwrap_or_default();
    filled == Some(whole) && tablespace::is_sound(clear, false) && ends_alike(clear)
}

fn inflate(packed: &[u8], room: &mut [u8]) -> Option<usize> {
    let parts = std::iter::once(packed);
    miniz_oxide::inflate::decompress_slice_iter_to_slice(room, parts, true, false).ok()
}

/// Goes through all pages of a file. A page that does not open is read again as long as it changes: a server is writing it.
/// `go_on` is asked before each piece of the file, and may end it.
///
/// # Errors
/// The system's.
pub fn count(
    source: &(impl Source + ?Sized),
    pages: Pages,
    key: &FileKey,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Counted, Unread> {
    let mut counted = Counted::default();
    in_pieces(source, 0, pages.physical, go_on, |at, page| {
        let mut is = check(page, pages, key);
        if is == Page::Bad {
            is = check_again(source, at, page, pages, key)?;
        }
        counted.add(at / pages.physical as u64, is);
        Ok::<_, Unread>(())
    })?;
    Ok(counted)
}

fn check_again(
    source: &(impl Source + ?Sized),
    at: u64,
    page: &mut [u8],
    pages: Pages,
    key: &FileKey,
) -> Result<Page, Unread> {
    /// A server needs less for one page, unless its disk hangs.
    const AGAIN: usize = 5;
    let mut before = Vec::new();
    for _ in 0..AGAIN {
        if source.read_at(at, page)? < page.len() || before == page {
            break;
        }
        before = page.to_vec();
        let is = check(page, pages, key);
        if is != Page::Bad {
            return Ok(is);
        }
        std::thread::yield_now();
    }
    Ok(Page::Bad)
}

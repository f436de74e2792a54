//! Tablespaces: .ibd files, undo, general ones, the dictionary; every page size, compressed tables too.
//!
//! Owns the layout of the first page, as far as it says where the encryption information is.

use super::bytes::{be16, be32, folded};
use super::info::{self, Found, Info};
use super::need::{Need, Seen, Unread};
use super::source::Source;

/// The largest page.
pub const MAX_PAGE: usize = 65_536;
/// The smallest one, of a compressed table.
const MIN_PAGE: usize = 1_024;
/// Flags that this version knows.
const KNOWN_FLAGS: u32 = 0x7fff;
/// The tablespace is encrypted.
const ENCRYPTED: u32 = 1 << 13;
/// Types of the first page: that of a tablespace's header, and what it has until it is written for the second time.
const HEADER_PAGE: u16 = 8;
const NEW_PAGE: u16 = 0;
/// Instead of a checksum where checksums are switched off.
pub(super) const NO_CHECKSUM: u32 = 0xDEAD_BEEF;

/// The sizes of a tablespace's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// In memory.
    pub logical: usize,
    /// In the file.
    pub physical: usize,
    /// Pages of a table with ROW_FORMAT=COMPRESSED, whose checksum is another one.
    pub zip: bool,
}

impl Pages {
    /// From the flags of a tablespace; `None`: no tablespace has these.
    pub fn of(flags: u32) -> Option<Pages> {
        let size = |code: u32| (code != 0).then(|| 512usize << code);
        let zip = size(flags >> 1 & 0xf);
        let logical = size(flags >> 6 & 0xf).unwrap_or(16_384);
        let physical = zip.unwrap_or(logical);
        let sizes = MIN_PAGE..=MAX_PAGE;
        let fits = flags & !KNOWN_FLAGS == 0
            && sizes.contains(&logical)
            && logical >= 4_096
            && sizes.contains(&physical)
            && physical <= logical;
        fits.then_some(Pages {
            logical,
            physical,
            zip: zip.is_some(),
        })
    }

    /// Where the encryption information is in the first page: behind the descriptors of as many extents as one such page
    /// describes.
    pub fn info_at(self) -> usize {
        const BEFORE: usize = 150;
        const MIB: usize = 1 << 20;
        let extent = match self.logical {
            65_536 => 4 * MIB,
            32_768 => 2 * MIB,
            _ => MIB,
        } / self.logical;
        // Two bits for each page of the extent.
        let descriptor = 24 + (extent * 2).div_ceil(8);
        BEFORE + descriptor * (self.physical / extent)
    }
}

/// The first page of a tablespace.
pub struct Header {
    /// The sizes of its pages.
    pub pages: Pages,
    /// How it is encrypted.
    pub info: Option<Info>,
    /// Its checksum is right, or there is none.
    pub sound: bool,
    /// It will be encrypted, and does not say so yet.
    pub new: bool,
}

/// Reads the first page.
///
/// # Errors
/// See [`Unread`].
pub fn header(source: &(impl Source + ?Sized)) -> Result<Header, Unread> {
    let mut page = [0; MAX_PAGE];
    // Most pages have this size; a part of the file beyond them is no part of its header.
    const USUAL: usize = 16_384;
    let mut filled = source.read_at(0, &mut page[..USUAL])?;
    let start = &page[..filled];
    if filled >= MIN_PAGE && start.iter().all(|byte| *byte == 0) {
        return Err(Unread::Damaged(
            "its first page is all zeroes, as while it is made",
        ));
    }
    let flags = be32(start, 54).ok_or(Unread::Short)?;
    let at_home = be32(start, 4) == Some(0)
        && matches!(be16(start, 24), Some(HEADER_PAGE | NEW_PAGE))
        && be32(start, 34) == be32(start, 38);
    let pages = Pages::of(flags).filter(|_| at_home);
    let pages = pages.ok_or(Unread::Damaged(
        "its first page is not that of a tablespace",
    ))?;
    if pages.physical > filled && filled == USUAL {
        filled += source.read_at(USUAL as u64, &mut page[USUAL..pages.physical])?;
    }
    let page = page.get(..pages.physical.min(filled)).unwrap_or_default();
    if page.len() < pages.physical {
        return Err(Unread::Short);
    }
    let place = page.get(pages.info_at()..).unwrap_or_default();
    let sound = is_sound(page, pages.zip);
    let is_new = be16(page, 24) == Some(NEW_PAGE) && sound;
    let info = match info::read(&place[..place.len().min(info::LENGTH)]) {
        // While it is being encrypted or decrypted, the information may be there before the flag, or longer.
        Found::Info(info) => Some(info),
        Found::Nothing if flags & ENCRYPTED == 0 || is_new => None,
        Found::TooOld => {
            return Err(Unread::Unknown(
                "it was encrypted by MySQL 5.7.11 or older, which names the key otherwise",
            ));
        }
        Found::Nothing | Found::Damaged => {
            return Err(Unread::Damaged(
                "its encryption information is not readable",
            ));
        }
    };
    if info.is_none() && !sound {
        return Err(Unread::Damaged("the checksum of its first page is wrong"));
    }
    let new = info.is_none() && flags & ENCRYPTED != 0;
    Ok(Header {
        pages,
        info,
        sound,
        new,
    })
}

/// What a tablespace needs.
///
/// # Errors
/// See [`Unread`].
pub fn look(source: &(impl Source + ?Sized)) -> Result<Seen, Unread> {
    let header = header(source)?;
    if header.new {
        return Ok(Seen::New);
    }
    Ok(seen(header.info, header.sound))
}

pub(super) fn seen(info: Option<Info>, sound: bool) -> Seen {
    let Some(info) = info else {
        return Seen::Plain;
    };
    match info.name() {
        None => Seen::BuiltIn(info),
        Some(name) => Seen::Needs(Need {
            name,
            sealed: Box::new(info),
            sound,
        }),
    }
}

/// A page in the clear has the checksum that it says.
pub(super) fn is_sound(page: &[u8], zip: bool) -> bool {
    let Some(said) = be32(page, 0) else {
        return false;
    };
    checksum(page, zip) == Some(said) || said == NO_CHECKSUM
}

/// What the checksum of a page is.
fn checksum(page: &[u8], zip: bool) -> Option<u32> {
    let piece = |from: usize, to: usize| page.get(from..to);
    let pieces = match zip {
        true => vec![piece(4, 16)?, piece(24, 26)?, piece(34, page.len())?],
        false => vec![piece(4, 26)?, piece(38, page.len().checked_sub(8)?)?],
    };
    Some(folded(&pieces))
}

//! Names for the frames of stacks: functions from the symbol table of a module's file, lines and inlined functions from
//! its line tables where it has some. The process need not be there any more.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::os::unix::fs::MetadataExt;

use addr2line::Context;
use addr2line::gimli::{DwarfSections, EndianSlice, LittleEndian};
use object::read::elf::ElfFile64;
use object::read::{ReadCache, ReadCacheOps};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use placebench_core::evidence::StackFrame;

use super::unwind::{MOST_FRAMES, RawFrame};

/// Characters kept of a name: those of generic functions have no bounds.
const MOST_CHARS: usize = 300;
/// Largest line tables that are read.
const MOST_DEBUG_BYTES: u64 = 512 << 20;

/// What a file says about an address.
#[derive(Debug, Clone, Default)]
struct Named {
    /// Function, file and line; the innermost of inlined functions first.
    levels: Vec<(Option<String>, Option<String>, Option<u32>)>,
}

/// The names of addresses, by file, its number, and the address in it. Each file is read once, however many stacks lead through it.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<(String, u64, u64), Named>);

impl Names {
    /// Looks up all frames.
    pub(super) fn of<'a>(frames: impl Iterator<Item = &'a RawFrame>) -> Self {
        let mut wanted: BTreeMap<(&str, u64), Vec<u64>> = BTreeMap::new();
        for frame in frames {
            if let Some(image) = &frame.image {
                let address = frame.lookup.wrapping_sub(image.bias);
                wanted.entry((&image.path, image.inode)).or_default().push(address);
            }
        }
        let mut names = Self::default();
        for ((path, inode), mut addresses) in wanted {
            addresses.sort_unstable();
            addresses.dedup();
            for (address, named) in look_up(path, inode, &addresses).unwrap_or_default() {
                names.0.insert((path.to_owned(), inode, address), named);
            }
        }
        names
    }

    /// The frames with their names; more than there were where functions were inlined.
    pub(super) fn apply(&self, frames: &[RawFrame]) -> Vec<StackFrame> {
        let mut named: Vec<StackFrame> = frames.iter().flat_map(|frame| self.levels(frame)).collect();
        named.truncate(2 * MOST_FRAMES);
        named
    }

    fn levels(&self, frame: &RawFrame) -> Vec<StackFrame> {
        let Some(image) = &frame.image else {
            return vec![StackFrame {
                address: frame.address,
                ..StackFrame::default()
            }];
        };
        let address = frame.lookup.wrapping_sub(image.bias);
        let plain = StackFrame {
            address: frame.address,
            module: Some(kept(&image.path)),
            module_address: Some(address),
            ..StackFrame::default()
        };
        let named = self
            .0
            .get(&(image.path.clone(), image.inode, address))
            .cloned()
            .unwrap_or_default();
        let outermost = named.levels.len().saturating_sub(1);
        let levels = named.levels.into_iter().enumerate();
        let mut levels: Vec<StackFrame> = levels
            .map(|(level, (function, file, line))| StackFrame {
                function,
                file,
                line,
                inlined: level < outermost,
                ..plain.clone()
            })
            .collect();
        if levels.is_empty() {
            levels.push(plain);
        }
        levels
    }
}

/// `None` where the file cannot be read or is not the one that was mapped.
fn look_up(path: &str, inode: u64, addresses: &[u64]) -> Option<BTreeMap<u64, Named>> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.ino() != inode {
        return None;
    }
    let cache = ReadCache::new(file);
    let elf: ElfFile64<'_, object::LittleEndian, _> = ElfFile64::parse(&cache).ok()?;
    let symbols = functions(&elf, addresses);
    let mut names: BTreeMap<u64, Named> = addresses
        .iter()
        .map(|address| {
            let symbol = symbols.get(address).cloned();
            let levels = symbol.map(|name| (Some(name), None, None)).into_iter().collect();
            (*address, Named { levels })
        })
        .collect();
    add_lines(&elf, &mut names);
    Some(names)
}

/// For each address the function around it: of those that begin before it the last, where it reaches that far.
fn functions<'a, R: ReadCacheOps>(
    elf: &ElfFile64<'a, object::LittleEndian, &'a ReadCache<R>>,
    addresses: &[u64],
) -> BTreeMap<u64, String> {
    let mut best: BTreeMap<u64, (u64, String)> = BTreeMap::new();
    for symbol in elf.symbols().chain(elf.dynamic_symbols()) {
        if symbol.kind() != SymbolKind::Text || symbol.is_undefined() {
            continue;
        }
        let start = symbol.address();
        // Assembly has no sizes: such a function reaches to the next one.
        let end = match symbol.size() {
            0 => u64::MAX,
            size => start.saturating_add(size),
        };
        let first = addresses.partition_point(|address| *address < start);
        for address in addresses.iter().skip(first).take_while(|address| **address < end) {
            if best.get(address).is_none_or(|(known, _)| *known < start)
                && let Ok(name) = symbol.name()
            {
                best.insert(*address, (start, demangled(name)));
            }
        }
    }
    best.into_iter().map(|(address, (_, name))| (address, name)).collect()
}

/// Adds files and lines, and the functions that were inlined.
fn add_lines<'a, R: ReadCacheOps>(
    elf: &ElfFile64<'a, object::LittleEndian, &'a ReadCache<R>>,
    names: &mut BTreeMap<u64, Named>,
) {
    let debug = elf
        .sections()
        .filter(|section| section.name().is_ok_and(|name| name.starts_with(".debug_")));
    let bytes = debug.fold(0_u64, |sum, section| sum.saturating_add(section.size()));
    if bytes == 0 || bytes > MOST_DEBUG_BYTES {
        return;
    }
    let load = |id: addr2line::gimli::SectionId| -> Result<&[u8], Infallible> {
        // A compressed section reads as an error, and is as good as absent.
        let data = elf.section_by_name(id.name()).and_then(|section| section.data().ok());
        Ok(data.unwrap_or_default())
    };
    let Ok(sections) = DwarfSections::load(load);
    let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let Ok(context) = Context::from_dwarf(dwarf) else {
        return;
    };
    for (address, named) in names {
        let Ok(mut frames) = context.find_frames(*address).skip_all_loads() else {
            continue;
        };
        let mut levels = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.and_then(|name| Some(demangled(&name.raw_name().ok()?)));
            let location = frame.location;
            let file = location.as_ref().and_then(|location| location.file).map(kept);
            levels.push((function, file, location.and_then(|location| location.line)));
        }
        let Some(outermost) = levels.last_mut() else {
            continue;
        };
        // The symbol has the whole path of a function; line tables alone have its last part.
        if let Some((symbol, _, _)) = named.levels.pop() {
            outermost.0 = symbol.or(outermost.0.take());
        }
        named.levels = levels;
    }
}

fn demangled(name: &str) -> String {
    match rustc_demangle::try_demangle(name) {
        Ok(rust) => kept(&format!("{rust:#}")),
        Err(_) => kept(name),
    }
}

fn kept(name: &str) -> String {
    name.chars().take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::super::unwind::Image;
    use super::*;

    fn frame(address: u64, image: Option<Image>) -> RawFrame {
        RawFrame {
            address,
            lookup: address,
            image,
        }
    }

    #[test]
    fn an_address_of_this_program_has_its_name() {
        let path = std::env::current_exe().unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        let cache = ReadCache::new(File::open(&path).unwrap());
        let elf: ElfFile64<'_, object::LittleEndian, _> = ElfFile64::parse(&cache).unwrap();
        let symbol = elf
            .symbols()
            .find(|symbol| symbol.size() > 4 && symbol.name().is_ok_and(|name| name.contains("no_address_breaks")))
            .unwrap();
        let bias = 0x5500_0000_0000;
        let own = Image {
            path: path.to_str().unwrap().to_owned(),
            inode,
            bias,
        };
        let other = Image {
            inode: inode + 1,
            ..own.clone()
        };
        let frames = [
            frame(bias + symbol.address(), Some(own)),
            frame(bias + symbol.address(), Some(other)),
            frame(7, None),
        ];
        let named = Names::of(frames.iter()).apply(&frames);
        let outermost = named.iter().find(|frame| !frame.inlined).unwrap();
        let function = outermost.function.as_deref().unwrap();
        assert!(function.contains("no_address_breaks"), "{function}");
        assert!(
            outermost.file.as_deref().unwrap().ends_with("symbols.rs"),
            "{outermost:?}"
        );
        assert!(outermost.line.is_some());
        let [.., replaced, nowhere] = named.as_slice() else {
            panic!("{named:?}")
        };
        assert_eq!(
            (&replaced.function, replaced.module_address),
            (&None, Some(symbol.address()))
        );
        assert_eq!((nowhere.address, &nowhere.module), (7, &None));
    }

    #[test]
    fn no_address_breaks_the_look_up() {
        let path = std::env::current_exe().unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        let named = look_up(path.to_str().unwrap(), inode, &[0, 1, u64::MAX]).unwrap();
        assert_eq!(named.len(), 3);
        assert!(look_up("/nonexistent", 1, &[1]).is_none());
        let folder = tempfile::NamedTempFile::new().unwrap();
        let inode = std::fs::metadata(folder.path()).unwrap().ino();
        assert!(
            look_up(folder.path().to_str().unwrap(), inode, &[1]).is_none(),
            "not a program"
        );
    }
}

//! From the registers of a stopped thread to its stack.
//!
//! Unwinding tables are read from the memory of the process and not from files: that is the code that really runs, also
//! where its file has been replaced, lies in another container, or never existed (the kernel's own `vdso`).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use addr2line::gimli::{BaseAddresses, EhFrameHdr, LittleEndian, Pointer};
use framehop::{
    CacheNative, ExplicitModuleSectionInfo, FrameAddress, Module, UnwindRegsNative, Unwinder, UnwinderNative,
};
use object::elf::{FileHeader64, PT_GNU_EH_FRAME, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

use super::maps::Maps;

/// Frames kept of a stack.
pub(super) const MOST_FRAMES: usize = 64;
/// Largest unwinding table that is read: the largest libraries have some tens of MiB.
const MOST_TABLE_BYTES: u64 = 128 << 20;
/// Header and program headers of a file lie within this many bytes.
const HEADERS_BYTES: u64 = 4096;

/// An image (program or library) that code was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// The file it was mapped from, or a name in brackets.
    pub(super) path: String,
    /// Number of that file in its file system.
    pub(super) inode: u64,
    /// What to take from an address to get that of the file.
    pub(super) bias: u64,
}

/// A frame before it has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawFrame {
    /// Address in the process: the instruction, or the one that returns lead to.
    pub(super) address: u64,
    /// Address to look up: inside the calling instruction.
    pub(super) lookup: u64,
    /// The image it belongs to.
    pub(super) image: Option<Image>,
}

/// A stack, and why it ends before its root, if it does.
#[derive(Debug, Default)]
pub(super) struct RawStack {
    pub(super) frames: Vec<RawFrame>,
    pub(super) note: Option<String>,
}

/// The memory of a process, with what is known about unwinding its code.
pub(super) struct ProcessMemory {
    memory: File,
    maps: Maps,
    unwinder: UnwinderNative<Vec<u8>, framehop::MayAllocateDuringUnwind>,
    cache: CacheNative<framehop::MayAllocateDuringUnwind>,
    met: HashSet<u64>,
}

impl ProcessMemory {
    /// Opens the memory of a process one of whose threads is traced by this thread.
    pub(super) fn open(pid: u32) -> io::Result<Self> {
        Ok(Self {
            memory: File::open(format!("/proc/{pid}/mem"))?,
            maps: Maps::parse(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/maps"))?)),
            unwinder: UnwinderNative::new(),
            cache: CacheNative::new(),
            met: HashSet::new(),
        })
    }

    /// The stack of a stopped thread, until its root, [`MOST_FRAMES`], or the time is up.
    pub(super) fn stack(&mut self, pc: u64, mut registers: UnwindRegsNative, until: Instant) -> RawStack {
        let mut stack = RawStack::default();
        let mut address = FrameAddress::from_instruction_pointer(pc);
        loop {
            if stack.frames.len() == MOST_FRAMES {
                stack.note = Some(format!("only the innermost {MOST_FRAMES} frames are kept"));
                return stack;
            }
            if Instant::now() >= until {
                stack.note = Some("the time for looking was up".to_owned());
                return stack;
            }
            let lookup = address.address_for_lookup();
            stack.frames.push(RawFrame {
                address: address.address(),
                lookup,
                image: self.image(lookup),
            });
            let memory = &self.memory;
            let mut read_stack = |at: u64| read_u64(memory, at).ok_or(());
            let next = self
                .unwinder
                .unwind_frame(address, &mut registers, &mut self.cache, &mut read_stack);
            match next.map(|next| next.map(FrameAddress::from_return_address)) {
                Ok(Some(Some(next))) => address = next,
                Ok(Some(None) | None) => return stack,
                Err(error) => {
                    stack.note = Some(format!("the stack cannot be followed further: {error}"));
                    return stack;
                }
            }
        }
    }

    /// The image of an address, known to the unwinder from now on.
    fn image(&mut self, address: u64) -> Option<Image> {
        let (first, end) = self.maps.image_at(address)?;
        let headers = read(&self.memory, first.start, HEADERS_BYTES.min(first.end - first.start))?;
        let layout = Layout::of(&headers)?;
        let bias = first.start.wrapping_sub(layout.first_address);
        let image = Image {
            path: first.path.clone(),
            inode: first.inode,
            bias,
        };
        if self.met.insert(first.start) {
            let tables = tables(&self.memory, &layout, bias).unwrap_or_default();
            self.unwinder
                .add_module(Module::new(first.path.clone(), first.start..end, bias, tables));
        }
        Some(image)
    }
}

/// What the program headers say, in addresses of the file.
struct Layout {
    /// Address of the first byte.
    first_address: u64,
    /// Loaded parts: first address and the one after the last.
    loaded: Vec<(u64, u64)>,
    /// Index of the unwinding tables.
    index: Option<(u64, u64)>,
}

impl Layout {
    fn of(headers: &[u8]) -> Option<Self> {
        let header = FileHeader64::<object::LittleEndian>::parse(headers).ok()?;
        let endian = object::LittleEndian;
        let parts = header.program_headers(endian, headers).ok()?;
        let of_kind = |kind| parts.iter().filter(move |part| part.p_type(endian) == kind);
        let first = of_kind(PT_LOAD).next()?;
        let range = |address: u64, size: u64| Some((address, address.checked_add(size)?));
        Some(Self {
            first_address: first.p_vaddr(endian).wrapping_sub(first.p_offset(endian)),
            loaded: of_kind(PT_LOAD)
                .filter_map(|part| range(part.p_vaddr(endian), part.p_filesz(endian)))
                .collect(),
            index: of_kind(PT_GNU_EH_FRAME)
                .next()
                .and_then(|part| range(part.p_vaddr(endian), part.p_filesz(endian))),
        })
    }
}

/// The index (`.eh_frame_hdr`) and the table it points at (`.eh_frame`). How long the table is the loaded headers do not
/// say, so it is taken to the end of its part; the index never points beyond.
fn tables(memory: &File, layout: &Layout, bias: u64) -> Option<ExplicitModuleSectionInfo<Vec<u8>>> {
    let (index_start, index_end) = layout.index?;
    let index_bytes = index_end - index_start;
    let index =
        (index_bytes <= MOST_TABLE_BYTES).then(|| read(memory, index_start.wrapping_add(bias), index_bytes))??;
    let bases = BaseAddresses::default().set_eh_frame_hdr(index_start);
    let parsed = EhFrameHdr::new(&index, LittleEndian).parse(&bases, 8).ok()?;
    let Pointer::Direct(table_start) = parsed.eh_frame_ptr() else {
        return None;
    };
    let part = layout
        .loaded
        .iter()
        .find(|(start, end)| (*start..*end).contains(&table_start))?;
    let table_bytes = (part.1 - table_start).min(MOST_TABLE_BYTES);
    let table = read(memory, table_start.wrapping_add(bias), table_bytes)?;
    Some(ExplicitModuleSectionInfo {
        eh_frame_hdr_svma: Some(index_start..index_end),
        eh_frame_hdr: Some(index),
        eh_frame_svma: Some(table_start..table_start + table_bytes),
        eh_frame: Some(table),
        ..ExplicitModuleSectionInfo::default()
    })
}

/// Bytes of the process; `None` where they are not all there.
fn read(memory: &File, address: u64, bytes: u64) -> Option<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(bytes).ok()?];
    memory.read_exact_at(&mut buffer, address).ok()?;
    Some(buffer)
}

fn read_u64(memory: &File, address: u64) -> Option<u64> {
    let mut buffer = [0; 8];
    memory.read_exact_at(&mut buffer, address).ok()?;
    Some(u64::from_le_bytes(buffer))
}

//! IOMMU and PCIe access control services, which redirect copies between cards: what the kernel shows of them.

use std::fs;
use std::path::Path;

use placebench_core::doctor::machine::IommuFacts;

use super::machine::text;

/// Class of a PCI-to-PCI bridge, and the beginnings of those of display controllers and accelerators.
const BRIDGE: &str = "0x0604";
const CARDS: [&str; 2] = ["0x03", "0x12"];

/// Where extended capabilities begin, and the one for access control.
const EXTENDED: usize = 0x100;
const ACCESS_CONTROL: u16 = 0x000D;
/// Bits of its control register: P2P request redirect, P2P completion redirect, upstream forwarding.
const REDIRECTS: u16 = 0b1_1100;

/// Asks the kernel's files below `root`.
pub(crate) fn facts(root: &Path) -> IommuFacts {
    let arguments = text(root, "proc/cmdline").unwrap_or_default();
    let groups = entries(&root.join("sys/kernel/iommu_groups"));
    IommuFacts {
        groups: groups.len(),
        default_domain: domain(&groups),
        kernel_arguments: arguments
            .split_whitespace()
            .filter(|word| is_about_copies(word))
            .map(str::to_owned)
            .collect(),
        bridges_with_redirect: bridges(root),
    }
}

fn is_about_copies(word: &str) -> bool {
    let key = word.split('=').next().unwrap_or(word);
    key.ends_with("iommu") || key.starts_with("iommu.") || key == "pci" || key == "pcie_acs_override"
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The domain of a group with a card in it, else of any group.
fn domain(groups: &[std::path::PathBuf]) -> Option<String> {
    let has_card = |group: &&std::path::PathBuf| {
        entries(&group.join("devices"))
            .iter()
            .filter_map(|device| text(device, "class"))
            .any(|class| CARDS.iter().any(|card| class.starts_with(card)))
    };
    let group = groups.iter().find(has_card).or_else(|| groups.first())?;
    text(group, "type")
}

/// Bridges that redirect. `None` where no bridge shows more than the first 64 bytes, as for a normal user.
fn bridges(root: &Path) -> Option<Vec<String>> {
    let mut seen = false;
    let mut redirecting = Vec::new();
    for device in entries(&root.join("sys/bus/pci/devices")) {
        if !text(&device, "class").is_some_and(|class| class.starts_with(BRIDGE)) {
            continue;
        }
        let config = fs::read(device.join("config")).unwrap_or_default();
        if config.len() <= EXTENDED {
            continue;
        }
        seen = true;
        if access_control(&config).is_some_and(|control| control & REDIRECTS != 0) {
            let name = device.file_name().unwrap_or_default();
            redirecting.push(name.to_string_lossy().into_owned());
        }
    }
    seen.then_some(redirecting)
}

/// The control register of access control in a bridge's configuration space (PCI Express base specification, 7.7.11):
/// extended capabilities are a chain of headers of 16 bits identity, 4 bits version, 12 bits offset of the next.
fn access_control(config: &[u8]) -> Option<u16> {
    let half = |at: usize| {
        let bytes = config.get(at..at.checked_add(2)?)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?))
    };
    let mut at = EXTENDED;
    // A chain that runs in a circle ends: there is no room for more headers of eight bytes.
    for _ in 0..config.len() / 8 {
        if half(at)? == ACCESS_CONTROL {
            return half(at + 6);
        }
        at = usize::from(half(at + 2)? >> 4);
        if at < EXTENDED {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration space with two extended capabilities, the second being access control.
    fn config(control: u16) -> Vec<u8> {
        let mut config = vec![0; 4096];
        let mut put = |at: usize, half: u16| config[at..at + 2].copy_from_slice(&half.to_le_bytes());
        put(0x100, 0x0001);
        put(0x102, 0x1401);
        put(0x140, ACCESS_CONTROL);
        put(0x142, 0x0001);
        put(0x146, control);
        config
    }

    #[test]
    fn access_control_is_found_along_the_chain() {
        assert_eq!(access_control(&config(0x1d)), Some(0x1d));
        let mut circle = config(0);
        circle[0x140..0x144].copy_from_slice(&[0x02, 0x00, 0x01, 0x10]);
        assert_eq!(access_control(&circle), None);
        assert_eq!(access_control(&[0; 64]), None);
        assert_eq!(access_control(&[0; 4096]), None);
        assert_eq!(access_control(&[0xff; 4096]), None);
    }

    fn machine(bridges: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write(
            "proc/cmdline",
            b"ro quiet intel_iommu=on iommu=pt pci=noacs iommu.passthrough=1 nouveau.modeset=0\n",
        );
        write("sys/kernel/iommu_groups/0/type", b"identity\n");
        write("sys/kernel/iommu_groups/1/type", b"DMA-FQ\n");
        write("sys/kernel/iommu_groups/1/devices/0000:01:00.0/class", b"0x030200\n");
        for (name, config) in bridges {
            write(&format!("sys/bus/pci/devices/{name}/class"), b"0x060400\n");
            write(&format!("sys/bus/pci/devices/{name}/config"), config);
        }
        write("sys/bus/pci/devices/0000:01:00.0/class", b"0x030200\n");
        write("sys/bus/pci/devices/0000:01:00.0/config", &config(0x1d));
        root
    }

    #[test]
    fn what_redirects_copies_is_found() {
        let root = machine(&[("0000:00:01.0", config(0x1d)), ("0000:00:02.0", config(0x01))]);
        let facts = facts(root.path());
        assert_eq!(facts.groups, 2);
        assert_eq!(
            facts.default_domain.as_deref(),
            Some("DMA-FQ"),
            "that of the card's group"
        );
        assert_eq!(
            facts.kernel_arguments,
            ["intel_iommu=on", "iommu=pt", "pci=noacs", "iommu.passthrough=1"]
        );
        assert_eq!(facts.bridges_with_redirect, Some(vec!["0000:00:01.0".to_owned()]));
    }

    #[test]
    fn what_a_normal_user_cannot_read_is_absent_and_not_off() {
        let root = machine(&[("0000:00:01.0", config(0x1d)[..64].to_vec())]);
        assert_eq!(facts(root.path()).bridges_with_redirect, None);
        assert_eq!(facts(Path::new("/nowhere")), IommuFacts::default());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(config in proptest::collection::vec(proptest::num::u8::ANY, 0..4096)) {
            let _ = access_control(&config);
        }
    }
}

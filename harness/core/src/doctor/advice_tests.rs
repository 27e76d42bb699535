use super::*;
use crate::doctor::machine::{EnvironmentVariable, IommuFacts};
use crate::doctor::probe::{Arrived, CopyFigures, DriverFacts};
use crate::units::Bytes;

fn id(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn path(transfer: Transfer, health: Health, rates: (f64, f64)) -> PathReport {
    match health {
        Health::Ok | Health::Corrupt => PathReport::compared(
            transfer,
            vec![CopyFigures {
                bytes: Bytes(4096),
                compared: 3,
                wrong_bytes: Bytes(if health == Health::Ok { 0 } else { 4096 }),
                first_wrong_byte: None,
                arrived: (health == Health::Corrupt).then_some(Arrived::Stale),
                median_s: None,
            }],
            Some(LinkRates {
                latency_s: rates.0,
                bytes_per_s: rates.1,
            }),
        ),
        _ => PathReport::unheard(transfer, health, "silent for 5 s in: a copy".into()),
    }
}

fn link(from: &str, to: &str, direct: Health, host: Health) -> LinkReport {
    let usual = (1e-5, 1e10);
    LinkReport::new(
        id(from),
        id(to),
        vec![path(Transfer::Direct, direct, usual), path(Transfer::Host, host, usual)],
    )
}

fn device(name: &str, on: &str) -> DeviceReport {
    DeviceReport {
        id: id(name),
        on: id(on),
        name: "a device".into(),
        uuid: Some(format!("GPU-{name}")),
        bus_id: None,
        memory_bytes: None,
        free_bytes: None,
        health: Health::Ok,
        message: None,
        rates: None,
        copy_bytes_per_s: None,
        matmul_flops_per_s: None,
    }
}

fn only(links: &[LinkReport], machine: &MachineFacts) -> Finding {
    let mut found = findings(&[], links, machine);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_broken_direct_path_beside_a_sound_host_path_leads_to_host_transfers() {
    let machine = MachineFacts {
        iommu: IommuFacts {
            groups: 40,
            default_domain: Some("DMA-FQ".into()),
            ..IommuFacts::default()
        },
        driver: DriverFacts {
            driver_version: Some("545.29".into()),
            ..DriverFacts::default()
        },
        ..MachineFacts::default()
    };
    for health in [Health::Corrupt, Health::Stalled] {
        let finding = only(&[link("cuda:0", "cuda:1", health, Health::Ok)], &machine);
        assert_eq!((finding.about.as_str(), finding.health), ("cuda:0 -> cuda:1", health));
        assert!(finding.message.ends_with("copies through host memory are right"));
        let hints = finding.hints.join("\n");
        for words in [
            "transfer = \"host\"",
            "ACS",
            "translated, DMA-FQ, 40 groups",
            "545.29",
            "NCCL_P2P_DISABLE=1",
        ] {
            assert!(hints.contains(words), "{words} in {hints}");
        }
    }
}

#[test]
fn other_combinations_lead_elsewhere() {
    let machine = MachineFacts::default();
    let hint = |link: LinkReport| only(&[link], &machine).hints.join("\n");
    let both = hint(link("cuda:0", "cuda:1", Health::Stalled, Health::Corrupt));
    assert!(both.contains("one side") && !both.contains("transfer ="), "{both}");
    let host = hint(link("cuda:0", "cuda:1", Health::Ok, Health::Corrupt));
    assert!(host.contains("transfer = \"direct\""), "{host}");
    let to_host = hint(link("cuda:0", "cpu", Health::Corrupt, Health::Ok));
    assert!(to_host.contains("riser") && !to_host.contains("ACS"), "{to_host}");
    let unknown = hint(link("cuda:0", "cuda:1", Health::Inconclusive, Health::Inconclusive));
    assert!(
        !unknown.contains("BIOS"),
        "no setting is blamed for what is not known: {unknown}"
    );
}

#[test]
fn sound_machines_need_no_advice() {
    let links = [
        link("cuda:0", "cuda:1", Health::Ok, Health::Ok),
        link("cuda:1", "cuda:0", Health::Ok, Health::Ok),
    ];
    let devices = [device("cpu", "cpu"), device("cuda:0", "cuda:0")];
    assert_eq!(findings(&devices, &links, &MachineFacts::default()), []);
    assert_eq!(summary(&devices, &links), "2 devices and 2 links: all sound");
}

#[test]
fn the_summary_names_what_is_broken() {
    let mut broken = device("cuda:1", "cuda:1");
    broken.health = Health::Stalled;
    let devices = [device("cpu", "cpu"), broken];
    let links = [
        link("cpu", "cuda:0", Health::Ok, Health::Ok),
        link("cuda:0", "cpu", Health::Corrupt, Health::Ok),
        link("cpu", "cuda:1", Health::Inconclusive, Health::Inconclusive),
    ];
    let about: Vec<String> = findings(&devices, &links, &MachineFacts::default())
        .into_iter()
        .map(|finding| finding.about)
        .collect();
    assert_eq!(
        about,
        ["cuda:0 -> cpu", "cuda:1"],
        "links of a broken device add nothing"
    );
    assert_eq!(
        summary(&devices, &links),
        "1 of 2 devices is not sound: cuda:1 (stalled); 1 of 3 links is not sound: cuda:0 -> cpu (corrupt)"
    );
    assert_eq!(summary(&[], &[]), "nothing was measured");
}

#[test]
fn a_link_far_slower_than_its_way_back_is_noted() {
    let with = |from: &str, to: &str, rates| {
        let direct = path(Transfer::Direct, Health::Ok, rates);
        LinkReport::new(id(from), id(to), vec![direct])
    };
    for (rates, noted) in [
        ((0.1, 1e10), true),
        ((1e-5, 1e8), true),
        ((1e-4, 1e10), false),
        ((1e-5, 5e9), false),
    ] {
        let links = [with("cuda:0", "cuda:1", rates), with("cuda:1", "cuda:0", (1e-5, 1e10))];
        let found = findings(&[], &links, &MachineFacts::default());
        assert_eq!(found.len(), usize::from(noted), "{rates:?}: {found:?}");
        assert!(found.iter().all(|finding| finding.health == Health::Ok));
    }
}

#[test]
fn without_a_sound_way_back_the_way_through_the_host_is_compared_with() {
    let slow = LinkReport::new(
        id("cuda:0"),
        id("cuda:1"),
        vec![
            path(Transfer::Direct, Health::Ok, (0.1, 1e10)),
            path(Transfer::Host, Health::Ok, (1e-5, 1e10)),
        ],
    );
    let back = link("cuda:1", "cuda:0", Health::Stalled, Health::Ok);
    let found = findings(&[], &[slow, back], &MachineFacts::default());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].message.ends_with("through host memory"), "{found:?}");
}

#[test]
fn settings_of_the_machine_are_noted() {
    let variable = |name: &str, value: &str| EnvironmentVariable {
        name: name.into(),
        value: value.into(),
        handed_on: true,
    };
    let gpus = [device("cuda:0", "cuda:0"), device("cuda:1", "cuda:1")];
    let mut machine = MachineFacts {
        governor: Some("powersave".into()),
        load_average: Some(6.5),
        cpu_count: 4,
        threads: 4,
        environment: vec![variable("RANK", "0"), variable("GGML_CUDA_P2P", "0")],
        ..MachineFacts::default()
    };
    machine.limits.cpus = Some(1.5);
    machine.iommu.default_domain = Some("DMA".into());
    machine.driver.gpus = vec![DriverGpu {
        uuid: Some("GPU-cuda:1".into()),
        throttled_by: vec!["power cap".into()],
        foreign_processes: vec![GpuProcess {
            gpu: 1,
            pid: 42,
            name: Some("train.py".into()),
            memory_bytes: None,
            was_there_before: true,
        }],
        ..DriverGpu::default()
    }];
    let messages: Vec<String> = findings(&gpus, &[], &machine)
        .into_iter()
        .map(|finding| finding.message)
        .collect();
    for words in [
        "6.5 programs want its 4 processors",
        "powersave",
        "1.5 processors, but 4 threads",
        "CUDA_DEVICE_ORDER",
        "IOMMU",
        "RANK",
        "GGML_CUDA_P2P=0",
        "power cap",
        "other programs compute on it: train.py (pid 42) on GPU 1",
    ] {
        let count = messages.iter().filter(|message| message.contains(words)).count();
        assert_eq!(count, 1, "{words}: {messages:?}");
    }
    machine.environment.push(variable("CUDA_DEVICE_ORDER", "PCI_BUS_ID"));
    machine.limits.cpus = Some(4.0);
    machine.load_average = Some(4.5);
    assert_eq!(findings(&gpus, &[], &machine).len(), messages.len() - 3);
}

#[test]
fn speeds_read_naturally() {
    let shown = [0.5, 12.0, 8.12e9, 3.35e12, 999.7].map(|value| per_second(value, "B"));
    assert_eq!(shown, ["0.50 B/s", "12.0 B/s", "8.12 GB/s", "3.35 TB/s", "1.00 kB/s"]);
}

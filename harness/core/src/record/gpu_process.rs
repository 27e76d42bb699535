//! A process of somebody else that computed on a GPU while an attempt did.

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// A process with a compute context on a GPU, as the driver's management library lists it. Its name is untrusted: escape it
/// wherever it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcess {
    /// The GPU's number in the driver's management library.
    pub gpu: u32,
    /// Its process id, as the driver says it.
    pub pid: u32,
    /// Its name; absent where its id belongs to another namespace, as it does in a container, or the system hides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Most memory it held on the GPU; absent where the driver does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
    /// It was there before the attempt began.
    #[serde(default)]
    pub was_there_before: bool,
}

impl GpuProcess {
    /// Who it is and what it holds: `python3 (pid 4242, 18.0 GiB) on GPU 0`.
    #[must_use]
    pub fn words(&self) -> String {
        let held = self.memory_bytes.map(|bytes| format!(", {bytes}")).unwrap_or_default();
        match &self.name {
            Some(name) => format!("{name} (pid {}{held}) on GPU {}", self.pid, self.gpu),
            None => format!("an unnamed process (pid {}{held}) on GPU {}", self.pid, self.gpu),
        }
    }

    /// Each process once, in words, with the most it held; no more than a sentence can bear.
    #[must_use]
    pub fn distinct_words<'a>(processes: impl Iterator<Item = &'a Self>) -> Vec<String> {
        const SHOWN: usize = 4;
        let mut distinct: Vec<Self> = Vec::new();
        for process in processes {
            let is_same = |known: &&mut Self| (known.gpu, known.pid) == (process.gpu, process.pid);
            match distinct.iter_mut().find(is_same) {
                Some(known) => known.memory_bytes = known.memory_bytes.max(process.memory_bytes),
                None => distinct.push(process.clone()),
            }
        }
        let mut words: Vec<String> = distinct.iter().take(SHOWN).map(Self::words).collect();
        if distinct.len() > SHOWN {
            words.push(format!("{} more", distinct.len() - SHOWN));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_as_far_as_it_is_known() {
        let known = GpuProcess {
            gpu: 1,
            pid: 4242,
            name: Some("python3".into()),
            memory_bytes: Some(Bytes(18 << 30)),
            was_there_before: true,
        };
        assert_eq!(known.words(), "python3 (pid 4242, 18.0 GiB) on GPU 1");
        let hidden = GpuProcess {
            name: None,
            memory_bytes: None,
            ..known.clone()
        };
        assert_eq!(hidden.words(), "an unnamed process (pid 4242) on GPU 1");
        let many: Vec<GpuProcess> = (0..6).map(|pid| GpuProcess { pid, ..hidden.clone() }).collect();
        let words = GpuProcess::distinct_words([&hidden, &known].into_iter());
        assert_eq!(
            words,
            ["an unnamed process (pid 4242, 18.0 GiB) on GPU 1"],
            "the same process"
        );
        let words = GpuProcess::distinct_words(many.iter());
        assert_eq!((words.len(), words[4].as_str()), (5, "2 more"));
    }
}

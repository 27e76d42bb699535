//! What of this process's environment a worker gets, and what of that is written down.
//!
//! A worker starts from an empty environment, so that a forgotten variable of a shell cannot change a figure without
//! being on record.

use std::ffi::{OsStr, OsString};

use placebench_core::record::ServerSpec;
use placebench_core::worker_variables::is_secret;

/// Variables that are handed on. The page of the worker protocol (`harness/workers/README.md`) lists them.
pub const NAMES: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "RAYON_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "VIRTUAL_ENV",
    "PYTHONPATH",
];

/// Beginnings of variables that are handed on; listed there too.
pub const PREFIXES: [&str; 13] = [
    "LC_",
    "HF_",
    "HUGGINGFACE_",
    "TRANSFORMERS_",
    "CUDA_",
    "NVIDIA_",
    "NCCL_",
    "CUBLAS_",
    "CANDLE_",
    "METAL_",
    "PYTORCH_",
    "OPENAI_",
    "PLACEBENCH_",
];

/// What stands for a value that is not for a record.
pub(crate) const REDACTED: &str = "[redacted]";

/// How many threads compute. Where this is not set, candle reads the number of processors from the system at every
/// product, which makes a token of the shipped model take eight times as long; and a record must say what was used.
const THREADS: &str = "RAYON_NUM_THREADS";

/// What a worker gets of this process's environment, in order of the names. The number of threads is always among it.
#[must_use]
pub fn inherited() -> Vec<(OsString, OsString)> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    with_threads(std::env::vars_os().filter(|(name, _)| is_handed_on(name)), processors)
}

/// The key of a server, where a scenario names the variable that holds it; whatever that is called, its worker gets it.
#[must_use]
pub(crate) fn key_of(server: Option<&ServerSpec>) -> Option<(OsString, OsString)> {
    let name = OsString::from(server?.api_key_env.as_deref()?);
    std::env::var_os(&name).map(|value| (name, value))
}

/// The variables in order of their names, with a number of threads if they have none.
fn with_threads(kept: impl Iterator<Item = (OsString, OsString)>, processors: usize) -> Vec<(OsString, OsString)> {
    let mut all: Vec<_> = kept.collect();
    if !all.iter().any(|(name, _)| name == THREADS) {
        all.push((THREADS.into(), processors.to_string().into()));
    }
    all.sort();
    all
}

/// The same as it may be written down.
#[must_use]
pub fn recorded() -> Vec<(String, String)> {
    inherited()
        .into_iter()
        .map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            let value = for_record(&name, &value.to_string_lossy());
            (name, value)
        })
        .collect()
}

fn is_handed_on(name: &OsStr) -> bool {
    // Proxies are written in either case.
    let Some(name) = name.to_str().map(str::to_ascii_uppercase) else {
        return false;
    };
    NAMES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The value, or what stands for it: secrets by their name, and the user and password inside an address.
#[must_use]
pub fn for_record(name: &str, value: &str) -> String {
    if is_secret(name) {
        return REDACTED.to_owned();
    }
    match value.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{REDACTED}@{host}"),
            None => value.to_owned(),
        },
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_threads_is_always_said() {
        let own = |value: &str| (OsString::from(THREADS), OsString::from(value));
        assert_eq!(with_threads(std::iter::empty(), 4), [own("4")]);
        assert_eq!(with_threads(std::iter::once(own("1")), 4), [own("1")]);
    }

    #[test]
    fn only_what_is_listed_is_handed_on() {
        for name in [
            "PATH",
            "LC_ALL",
            "HF_HOME",
            "CUDA_VISIBLE_DEVICES",
            "https_proxy",
            "RAYON_NUM_THREADS",
        ] {
            assert!(is_handed_on(OsStr::new(name)), "{name}");
        }
        for name in [
            "LD_PRELOAD",
            "GGML_CUDA_P2P",
            "AWS_SECRET_ACCESS_KEY",
            "SHELL",
            "MYPATH",
        ] {
            assert!(!is_handed_on(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn secrets_are_not_written_down() {
        for name in ["HF_TOKEN", "OPENAI_API_KEY", "hf_secret"] {
            assert_eq!(for_record(name, "s3cr3t"), REDACTED, "{name}");
        }
        assert_eq!(for_record("HF_HOME", "/models"), "/models");
        assert_eq!(for_record("TOKENIZERS_PARALLELISM", "false"), "false");
        assert_eq!(
            for_record("HTTPS_PROXY", "http://me:pw@proxy:3128/"),
            "http://[redacted]@proxy:3128/"
        );
        assert_eq!(for_record("HTTPS_PROXY", "http://proxy:3128/"), "http://proxy:3128/");
    }
}

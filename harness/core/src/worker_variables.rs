//! What the name of an environment variable says: whether its value is a secret, and what setting it can do.
//!
//! A suite is read by people who did not write it, so its `[env]` may tune a worker, but not make it load or start other
//! code, write files, or send a secret elsewhere, unless the person at the command line allows that (`--allow-exec`). New
//! variables with such powers appear with every library; so what may be set freely is listed, not what may not.

/// Beginning of the variables supervisor and worker speak to each other with.
pub const OWN_PREFIX: &str = "PLACEBENCH_";

/// Parts of names whose values are secrets.
const SECRET_PARTS: [&str; 6] = ["TOKEN", "KEY", "SECRET", "PASSW", "CREDENTIAL", "COOKIE"];

/// Names that only look like those of secrets.
const NO_SECRETS: [&str; 2] = ["TOKENIZERS_", "KEYBOARD"];

/// Variables that only tune.
const TUNING: [&str; 12] = [
    "LANG",
    "LANGUAGE",
    "TZ",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "RUST_MIN_STACK",
    "MALLOC_ARENA_MAX",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "TRANSFORMERS_VERBOSITY",
    "PYTHONHASHSEED",
];

/// Beginnings of variables that only tune, except for those with one of [`POWERFUL_PARTS`].
const TUNING_PREFIXES: [&str; 17] = [
    "LC_",
    "RAYON_",
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "CANDLE_",
    "CUDA_",
    "CUBLAS_",
    "CUBLASLT_",
    "NVIDIA_",
    "NCCL_",
    "METAL_",
    "PYTORCH_",
    "TOKENIZERS_",
    "HF_HUB_DISABLE_",
];

/// Parts of names that name files, libraries or addresses: `CUDA_INJECTION64_PATH`, `OMP_TOOL_LIBRARIES`,
/// `NCCL_NET_PLUGIN`, `CUBLAS_LOGDEST_DBG`.
const POWERFUL_PARTS: [&str; 14] = [
    "PATH", "FILE", "_DIR", "LIBRAR", "LOADER", "PLUGIN", "PRELOAD", "INJECT", "TOOL", "LOGDEST", "DUMP", "HOST",
    "SERVER", "WRAPPER",
];

/// Whether a value is a secret by the name of its variable.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    !NO_SECRETS.iter().any(|start| upper.starts_with(start)) && SECRET_PARTS.iter().any(|part| upper.contains(part))
}

/// Whether the harness itself speaks to its workers with that variable.
#[must_use]
pub fn is_own(name: &str) -> bool {
    name.to_ascii_uppercase().starts_with(OWN_PREFIX)
}

/// Whether a scenario may set it by itself: it can tune what a worker does, and nothing else.
#[must_use]
pub fn is_tuning(name: &str) -> bool {
    let by_prefix = TUNING_PREFIXES.iter().any(|start| name.starts_with(start))
        && !POWERFUL_PARTS.iter().any(|part| name.contains(part));
    TUNING.contains(&name) || by_prefix
}

/// Whether it is a name at all: letters, digits and `_`, not beginning with a digit.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "HF_TOKEN",
            "hf_token",
            "OPENAI_API_KEY",
            "MY_SECRET",
            "DB_PASSWORD",
            "DB_PASSWD",
            "HUGGINGFACE_HUB_TOKEN",
            "AWS_ACCESS_KEY_ID",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["TOKENIZERS_PARALLELISM", "HF_HOME", "PATH", "RAYON_NUM_THREADS"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn what_tunes_is_told_from_what_runs_code_or_redirects() {
        for name in [
            "RAYON_NUM_THREADS",
            "OMP_NUM_THREADS",
            "CUDA_VISIBLE_DEVICES",
            "CUDA_LAUNCH_BLOCKING",
            "CUBLAS_WORKSPACE_CONFIG",
            "NCCL_P2P_DISABLE",
            "NVIDIA_TF32_OVERRIDE",
            "PYTORCH_CUDA_ALLOC_CONF",
            "TOKENIZERS_PARALLELISM",
            "HF_HUB_OFFLINE",
            "RUST_LOG",
            "LC_ALL",
        ] {
            assert!(is_tuning(name), "{name}");
        }
        for name in [
            "LD_PRELOAD",
            "LD_AUDIT",
            "LD_LIBRARY_PATH",
            "DYLD_INSERT_LIBRARIES",
            "PATH",
            "HOME",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "GCONV_PATH",
            "CUDA_INJECTION64_PATH",
            "NVIDIA_INJECTION",
            "OMP_TOOL_LIBRARIES",
            "NCCL_NET_PLUGIN",
            "NCCL_DEBUG_FILE",
            "CUBLAS_LOGDEST_DBG",
            "HF_ENDPOINT",
            "HTTPS_PROXY",
            "https_proxy",
            "SSL_CERT_FILE",
            "HF_HOME",
            "ld_preload",
            "SOMETHING_NEW",
        ] {
            assert!(!is_tuning(name), "{name}");
        }
    }

    #[test]
    fn own_variables_and_names() {
        assert!(is_own("PLACEBENCH_BREADCRUMB") && is_own("placebench_x") && !is_own("PLACE"));
        assert!(is_name("A_1") && is_name("_x"));
        for name in ["", "1A", "A=B", "A B", "A\0", "É"] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}

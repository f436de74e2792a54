//! Where a keyring, what opens it and its log lie.

use super::*;

/// What of a keyring lies in a data directory: full sentences. A copy of the data should not have the keyring, or what
/// opens it, with it.
pub fn lies_in(data_dir: &Path, config: &Config) -> Vec<String> {
    let Ok(data_dir) = data_dir.canonicalize() else {
        return Vec::new();
    };
    // A file that is not there yet lies where its folder does.
    let inside = |path: &Path| {
        let real = path.canonicalize().ok();
        let real = real.or_else(|| path.parent()?.canonicalize().ok());
        real.is_some_and(|real| real.starts_with(&data_dir))
    };
    let mut sentences = Vec::new();
    if config.token_storage().is_none() && inside(&config.path) {
        sentences.push(format!(
            "The keyring '{}' lies in the data directory: every copy of the data has it with it. Move it to a folder of its \
             own.",
            config.path.display()
        ));
    }
    if let Some(log) = config.audit.as_ref().filter(|log| inside(&log.file)) {
        sentences.push(format!(
            "The audit log '{}' lies in the data directory: every copy of the data has it with it, and a clone would go on with it. \
             Move it to a folder of its own.",
            log.file.display()
        ));
    }
    // Those for recovery, too: they open it as well.
    for secret in config.keks.all_keys().flat_map(|key| key.secrets()) {
        if let SecretRef::File(path) = secret
            && inside(path)
        {
            sentences.push(format!(
                "The secret '{}' lies in the data directory: every copy of the data has it with it, and SQL may be able to \
                 read it. Move it to a folder of its own.",
                path.display()
            ));
        }
    }
    sentences
}

//! `tags` and `search`: what a registry has.

use crate::oci::Reference;
use crate::ops::Error;
use crate::registry::{Registries, RegistryError};

/// The tags of a repository, in the registry's order.
pub fn tags(registries: &Registries, repository: &Reference) -> Result<Vec<String>, Error> {
    let found = registries.repository(repository).tags()?;
    let what = format!("repository {}", repository.repository());
    Ok(found.ok_or_else(|| RegistryError::NotFound { registry: repository.registry().to_owned(), what })?)
}

/// The repositories of a registry whose name holds `text`, in the registry's order.
pub fn search(registries: &Registries, registry: &str, text: &str) -> Result<Vec<String>, Error> {
    let failed = |error: RegistryError| {
        let message = error.to_string();
        match error {
            RegistryError::Denied { .. } => {
                Error::build(message).help("many registries show their list of repositories to nobody")
            }
            error => error.into(),
        }
    };
    let what = "list of its repositories".to_owned();
    let found = registries.catalog(registry).map_err(failed)?;
    let found = found.ok_or_else(|| RegistryError::NotFound { registry: registry.to_owned(), what })?;
    Ok(found.into_iter().filter(|name| name.contains(text)).map(|name| format!("{registry}/{name}")).collect())
}

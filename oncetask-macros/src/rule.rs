//! Recurrence rules.

use syn::Result;

use crate::attr::Rule;

pub(crate) fn check(_rule: &Rule) -> Result<()> {
    Ok(())
}

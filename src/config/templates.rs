//! The templates of emails that the configuration names.

use super::Config;
use super::problem::{ConfigError, Place};
use crate::mail::Templates;

impl Config {
    /// Reads every template of `[mail] templates_dir` and tries it with letters of every kind.
    ///
    /// # Errors
    /// [`ConfigError`] with file and line for a template that does not serve, and for a feature
    /// whose folder of templates is not there.
    pub fn check_templates(&self) -> Result<(), ConfigError> {
        let fault = |sentence| ConfigError::one(Place::Default, sentence);
        let templates = Templates::load(self.mail.templates_dir.as_deref())
            .map_err(|error| fault(error.to_string()))?;
        for feature in &self.features {
            let Some(folder) = &feature.template else { continue };
            if !templates.has_folder(folder) {
                return Err(fault(format!(
                    "feature `{}` uses the template folder `{folder}`, which [mail] templates_dir \
                     does not have; create it, or remove `template`",
                    feature.name
                )));
            }
        }
        Ok(())
    }
}

//! The configuration as an operator meets it: files and variables in, values or sentences out.

// Helpers stand outside of test functions, where the lint does not look for its exception.
#![allow(clippy::unwrap_used)]

mod commands;
mod layers;
mod refusals;
mod shape;

use periodd::config::{Config, ConfigError};
use std::path::Path;
use std::path::PathBuf;
use tempfile::TempDir;

const HOME: (&str, &str) = ("HOME", "/home/me");

/// A directory with a `periodd.toml` of that content.
fn written(toml: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("periodd.toml");
    std::fs::write(&file, toml).unwrap();
    (directory, file)
}

fn load(file: Option<&Path>, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let pairs = [HOME].iter().chain(variables).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::load(file, pairs.collect::<Vec<_>>().into_iter())
}

fn with_file(toml: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let (_directory, file) = written(toml);
    load(Some(&file), variables)
}

fn with_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    with_file("", variables)
}

/// What is said about a file, under the name `F`.
fn refusal(toml: impl AsRef<[u8]>) -> String {
    let (_directory, file) = written(toml);
    let error = load(Some(&file), &[]).expect_err("this must be refused");
    error.to_string().replace(file.to_str().unwrap(), "F")
}

/// Every key of the configuration with its value.
fn values(config: &Config) -> Vec<(String, Option<serde_json::Value>)> {
    config.sources().iter().map(|s| (s.key.clone(), s.value.clone())).collect()
}

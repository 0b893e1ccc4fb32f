//! What was measured, told to programs: a line of JSON for each row of a table, appended to the file
//! that `READYLOOP_FIGURES` names.

use std::fs::File;
use std::io::Write;

use serde_json::{Map, Value};

/// Tells the values of one row; `of` is what the row is about.
pub fn tell(figure: &str, of: &str, values: &[(&str, f64)]) {
    let Some(path) = std::env::var_os("READYLOOP_FIGURES") else { return };
    let mut line: Map<String, Value> =
        values.iter().map(|(name, value)| (name.to_string(), (*value).into())).collect();
    line.insert("figure".to_string(), figure.into());
    line.insert("of".to_string(), of.into());
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "{}", Value::Object(line)).unwrap();
}

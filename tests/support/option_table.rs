//! The reference's table of all options, in Markdown, made from the product's own list. For tests/option_table.rs, which
//! holds docs/reference/configuration.md to it, and tests/toy.rs.

use keyring_ward::config::{OPTIONS, OptionSpec};
use keyring_ward::kek::drivers::{self, DRIVERS};

/// A row for each option, below the head.
pub fn table() -> String {
    let mut rows = vec![
        "| JSON | `[keyring_ward]` in my.cnf | plugin variable | meaning |".to_string(),
        "|---|---|---|---|".into(),
    ];
    rows.extend(OPTIONS.iter().map(row));
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn row(option: &OptionSpec) -> String {
    let name = option.name;
    let json = match option.json {
        (Some(section), member) => format!("`\"{section}\": {{ \"{member}\" }}`"),
        (None, member) => format!("`\"{member}\"`"),
    };
    format!(
        "| {json} | `{name}` | `keyring_ward_{name}` | {} |",
        meaning(option)
    )
}

fn meaning(option: &OptionSpec) -> String {
    let said = match option.about {
        "" => option.help.to_string(),
        about => about.to_string(),
    };
    if option.name == "backend" {
        let names: Vec<String> = DRIVERS.iter().map(|d| format!("`{}`", d.name)).collect();
        return format!("one of {}. {said}", names.join(", "));
    }
    // A section's page says more, once for all of its options.
    let driver = option.json.0.and_then(drivers::of_name);
    let first = driver.filter(|d| !d.page.is_empty() && d.options[0].name == option.name);
    match first {
        Some(driver) => {
            let (_, file) = driver.page.rsplit_once('/').unwrap_or(("", driver.page));
            format!("{said}. All of this section: [{file}](../{})", driver.page)
        }
        None => said,
    }
}

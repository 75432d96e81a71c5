//! Varnish configuration of an edge.

use std::fmt::Write as _;

use pilothouse_core::{Error, Result};

use super::site::{Site, Sites};
use super::{EdgeConfig, fill};
use crate::target::{UNRESERVED_PUNCTUATION, UNUSUAL};

const TEMPLATE: &str = include_str!("../../edge/varnish.vcl");

/// Refusal of TLS towards visitors, with the way to have it.
pub(super) fn no_tls(name: &'static str) -> Error {
    let reason = "is not possible on Varnish, which speaks no TLS: put a TLS terminator such as HAProxy or hitch before it that \
                  speaks the PROXY protocol to a listen address of its own, --listen 127.0.0.1:8443,PROXY. Varnish then knows \
                  the visitors' addresses, on which --allow depends, and tells origins X-Forwarded-Proto: https";
    Error::invalid(name, reason)
}

pub(super) fn render(config: &EdgeConfig, sites: &Sites<'_>) -> Result<String> {
    for (name, files) in
        [("certificate", &config.certificates), ("certificate-key", &config.certificate_keys)]
    {
        if !files.is_empty() {
            return Err(no_tls(name));
        }
    }
    if let Some(origin) = sites.origins.iter().find(|origin| origin.is_https) {
        let reason = format!(
            "https://{} is not possible on Varnish, which speaks no TLS: use nginx, or name a proxy that speaks TLS to the origin",
            origin.host
        );
        return Err(Error::invalid("origin", reason));
    }
    let has_tls = config.listen.iter().any(|listen| listen.ends_with(",PROXY"));
    let mut allow = String::new();
    for block in &config.allow {
        push(&mut allow, format_args!("    \"{}\"/{};\n", block.addr(), block.prefix_len()));
    }
    let key = config.key.as_deref().unwrap_or_default();
    let key =
        if key.is_empty() { String::new() } else { format!(" || req.http.X-Pilothouse-Key != \"{key}\"") };
    let values = [
        ("@backends@", backends(sites)),
        ("@listen@", config.listen.join(" -a ")),
        ("@allow@", allow.trim_end().to_owned()),
        ("@key@", key),
        ("@log@", config.log.display().to_string()),
        ("@proto@", config.forwarded_proto(has_tls).to_owned()),
        ("@ignoring@", sites.ignoring()),
        ("@sites@", site_rules(sites)?),
        ("@unusual@", unusual_pattern()),
        ("@replaced@", replacements()),
    ];
    Ok(fill(TEMPLATE, values))
}

fn backends(sites: &Sites<'_>) -> String {
    let mut text = String::new();
    for (n, origin) in sites.origins.iter().enumerate() {
        push(
            &mut text,
            format_args!(
                "backend origin_{n} {{\n    .host = \"{}\";\n    .port = \"{}\";\n    .first_byte_timeout = 30s;\n}}\n\n",
                origin.bare_host(),
                origin.port
            ),
        );
    }
    text.trim_end().to_owned()
}

/// VCL statements that find a request's site, the most specific domain first.
fn site_rules(sites: &Sites<'_>) -> Result<String> {
    let mut text = String::new();
    for (n, site) in sites.sites.iter().enumerate() {
        let condition = match (site.domain.as_str(), site.domain.wildcard()) {
            ("*", _) => "true".to_owned(),
            (_, Some(domain)) => format!("req.http.Host ~ \"[.]{}$\"", domain.replace('.', "[.]")),
            (domain, None) => format!("req.http.Host == \"{domain}\""),
        };
        let keyword = if n == 0 { "    if" } else { " else if" };
        push(&mut text, format_args!("{keyword} ({condition}) {{\n{}    }}", site_statements(site)?));
    }
    Ok(text)
}

fn site_statements(site: &Site<'_>) -> Result<String> {
    let mut text = format!(
        "        set req.backend_hint = origin_{};\n        set req.http.X-Pilothouse-Site = \"{}\";\n",
        site.origin, site.domain
    );
    if let Some(host) = site.host_header {
        push(&mut text, format_args!("        set req.http.X-Pilothouse-Origin-Host = \"{host}\";\n"));
    }
    let Some(rules) = site.rules else { return Ok(text) };
    if rules.ignore_query {
        text.push_str("        set req.http.X-Pilothouse-Query = \"ignore\";\n");
    }
    if !rules.honour_cookies {
        text.push_str("        set req.http.X-Pilothouse-Cookies = \"ignore\";\n");
    }
    for (n, rule) in rules.normal_ttl()?.iter().enumerate() {
        let keyword = if n == 0 { "        if" } else { " else if" };
        let pattern = pattern(&rule.prefix);
        push(
            &mut text,
            format_args!(
                "{keyword} (req.http.X-Pilothouse-Uri ~ \"^{pattern}\") {{\n            \
                 set req.http.X-Pilothouse-Ttl = \"{}\";\n        }}",
                rule.seconds
            ),
        );
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Regular expression of a text in normal form, which has no quotes, brackets or backslashes.
fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        match c {
            '.' | '*' | '+' | '(' | ')' | '$' => pattern.extend(['[', c, ']']),
            c => pattern.push(c),
        }
    }
    pattern
}

/// Regular expression for URLs that may not be in normal form: escapes in lower case or of unreserved characters, and
/// characters that are to be escaped.
fn unusual_pattern() -> String {
    let escapes = "%([0-9A-Fa-f]?[a-f]|2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|[45]F|7E)";
    let mut characters = String::new();
    for byte in UNUSUAL.bytes() {
        // Writing to a string cannot fail.
        let _ = write!(characters, "\\x{byte:02X}");
    }
    format!("{escapes}|[{characters}]")
}

/// VCL expression of the URL with escapes in upper case, unreserved characters decoded and unusual ones escaped. VCL replaces
/// regular expressions only, so each character takes a call; calls that find nothing copy nothing.
fn replacements() -> String {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for digit in 'a'..='f' {
        pairs.push((format!("%{digit}([0-9A-Fa-f])"), format!("%{}\\1", digit.to_ascii_uppercase())));
    }
    for digit in 'a'..='f' {
        pairs.push((format!("%([0-9A-F]){digit}"), format!("%\\1{}", digit.to_ascii_uppercase())));
    }
    let unreserved = ('0'..='9').chain('A'..='Z').chain('a'..='z').chain(UNRESERVED_PUNCTUATION.chars());
    pairs.extend(unreserved.map(|c| (format!("%{:02X}", u32::from(c)), c.to_string())));
    pairs.extend(UNUSUAL.bytes().map(|byte| (format!("\\x{byte:02X}"), format!("%{byte:02X}"))));
    let mut expression = format!("        {}req.http.X-Pilothouse-Uri", "regsuball(".repeat(pairs.len()));
    for (pattern, replacement) in pairs {
        // Writing to a string cannot fail.
        let _ = write!(expression, ",\n        \"{pattern}\", \"{replacement}\")");
    }
    expression
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(arguments);
}

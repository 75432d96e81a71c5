//! nginx configuration of an edge.

use std::fmt::Write as _;

use pilothouse_core::{Error, Result};

use super::site::{Site, Sites};
use super::{EdgeConfig, PerDomain, fill};

const TEMPLATE: &str = include_str!("../../edge/nginx.conf");
/// A server block, one for each certificate.
const SERVER: &str = include_str!("../../edge/nginx-server.conf");

pub(super) fn render(config: &EdgeConfig, sites: &Sites<'_>) -> Result<String> {
    let has_tls = config.listen.iter().any(|listen| listen.ends_with(" ssl"));
    if has_tls == config.certificates.is_empty() {
        let reason =
            if has_tls { "must be given with --listen '… ssl'" } else { "needs --listen '… ssl'" };
        return Err(Error::invalid("certificate", reason));
    }
    let mut allow = String::new();
    for block in &config.allow {
        push(&mut allow, format_args!("    {block} 1;\n"));
    }
    let servers = servers(config, sites, has_tls)?;
    let values = [
        ("@upstreams@", upstreams(sites)),
        ("@allow@", allow.trim_end().to_owned()),
        ("@key@", config.key.clone().unwrap_or_default()),
        ("@cache@", config.cache.display().to_string()),
        ("@ignoring@", sites.ignoring()),
        ("@sites@", site_table(sites)?.trim_end().to_owned()),
        ("@servers@", servers.trim_end().to_owned()),
    ];
    Ok(fill(TEMPLATE, values))
}

fn upstreams(sites: &Sites<'_>) -> String {
    let mut text = String::new();
    for (n, origin) in sites.origins.iter().enumerate() {
        let server = format!("{}:{}", origin.host, origin.port);
        push(
            &mut text,
            format_args!(
                "upstream pilothouse_origin_{n} {{\n    server {server};\n    keepalive 64;\n}}\n\n"
            ),
        );
    }
    text.trim_end().to_owned()
}

/// Lua table of the sites by domain.
fn site_table(sites: &Sites<'_>) -> Result<String> {
    let mut text = String::new();
    for Site { domain, origin, host_header, rules } in &sites.sites {
        let upstream = &sites.origins[*origin];
        let scheme = if upstream.is_https { "https" } else { "http" };
        push(
            &mut text,
            format_args!("        [\"{domain}\"] = {{ origin = \"{scheme}://pilothouse_origin_{origin}\""),
        );
        push(&mut text, format_args!(", tls_name = \"{}\"", upstream.tls_name));
        if let Some(host) = host_header {
            push(&mut text, format_args!(", host = \"{host}\""));
        }
        if let Some(rules) = rules {
            push(&mut text, format_args!(", ignore_query = {}", rules.ignore_query));
            push(&mut text, format_args!(", ignore_cookies = {}", !rules.honour_cookies));
            let mut ttl = String::new();
            for rule in rules.normal_ttl()? {
                push(
                    &mut ttl,
                    format_args!(
                        "\n            {{ prefix = \"{}\", seconds = {} }},",
                        rule.prefix, rule.seconds
                    ),
                );
            }
            push(&mut text, format_args!(", ttl = {{{ttl} }}"));
        }
        text.push_str(" },\n");
    }
    Ok(text)
}

/// Server blocks: the default one, and one for each certificate of certain domains.
fn servers(config: &EdgeConfig, sites: &Sites<'_>, has_tls: bool) -> Result<String> {
    let mut all = vec![None];
    let of_domains = |file: &&PerDomain| file.domain.as_str() != "*";
    all.extend(config.certificates.iter().filter(of_domains).map(|file| Some(&file.domain)));
    let known = |key: &&PerDomain| config.certificates.iter().any(|file| file.domain == key.domain);
    if let Some(key) = config.certificate_keys.iter().find(|key| !known(key)) {
        return Err(Error::invalid("certificate", format!("must be given for {}", key.domain)));
    }
    let (origin_tls, locations) = (origin_tls(config, sites), locations(sites));
    let mut text = String::new();
    for domain in all {
        let pattern = domain.map_or("*", |domain| domain.as_str());
        let values = [
            ("@listen@", listen(config, domain.is_none())),
            ("@name@", domain.map_or("_", |_| pattern).to_owned()),
            ("@tls@", if has_tls { certificate(config, pattern)? } else { String::new() }),
            ("@log@", config.log.display().to_string()),
            ("@proto@", config.forwarded_proto(has_tls).to_owned()),
            ("@origin_tls@", origin_tls.clone()),
            ("@locations@", locations.clone()),
        ];
        text.push_str(&fill(SERVER, values));
        text.push('\n');
    }
    Ok(text)
}

fn listen(config: &EdgeConfig, is_default: bool) -> String {
    let mut text = String::new();
    for listen in &config.listen {
        let (address, tls) =
            listen.strip_suffix(" ssl").map_or((listen.as_str(), ""), |address| (address, " ssl"));
        let default = if is_default { " default_server" } else { "" };
        push(&mut text, format_args!("    listen {address}{default}{tls};\n"));
    }
    text.trim_end().to_owned()
}

/// Certificate of a server block. Without a certificate for all domains, TLS connections for other domains are refused.
fn certificate(config: &EdgeConfig, domain: &str) -> Result<String> {
    let file = |files: &[PerDomain]| {
        files.iter().find(|file| file.domain.as_str() == domain).map(|file| file.value.clone())
    };
    let Some(certificate) = file(&config.certificates) else {
        return Ok("\n    ssl_reject_handshake on;".to_owned());
    };
    let missing = || Error::invalid("certificate-key", format!("must be given for {domain}"));
    let key = file(&config.certificate_keys).ok_or_else(missing)?;
    let protocols = "ssl_protocols TLSv1.2 TLSv1.3;\n    ssl_session_cache shared:pilothouse_tls:10m";
    Ok(format!("\n    ssl_certificate {certificate};\n    ssl_certificate_key {key};\n    {protocols};"))
}

fn origin_tls(config: &EdgeConfig, sites: &Sites<'_>) -> String {
    if !sites.origins.iter().any(|origin| origin.is_https) {
        return String::new();
    }
    format!(
        "\n    proxy_ssl_server_name on;\n    proxy_ssl_name $pilothouse_tls_name;\n    proxy_ssl_verify on;\n    \
         proxy_ssl_verify_depth 5;\n    proxy_ssl_protocols TLSv1.2 TLSv1.3;\n    proxy_ssl_trusted_certificate {};",
        config.origin_ca.display()
    )
}

/// A location for each lifetime, because nginx takes no lifetime from a variable.
fn locations(sites: &Sites<'_>) -> String {
    let mut text = String::new();
    for seconds in sites.lifetimes() {
        push(
            &mut text,
            format_args!(
                "\n\n    location @pilothouse_ttl_{seconds} {{\n        \
                 proxy_pass $pilothouse_origin$pilothouse_target;\n        \
                 proxy_ignore_headers Cache-Control Expires X-Accel-Expires;\n        \
                 proxy_cache_valid 200 203 204 300 301 308 {seconds}s;\n        \
                 proxy_cache_valid 404 410 {}s;\n    }}",
                seconds.min(60)
            ),
        );
    }
    text
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(arguments);
}

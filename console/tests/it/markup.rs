//! Reading of pages: tags with their attributes, forms with their fields.

/// A tag with its attributes, unescaped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    /// Text up to the next tag.
    pub(crate) text: String,
}

impl Tag {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// Text without escapes, as a browser reads it.
pub(crate) fn unescaped(text: &str) -> String {
    let mut plain = text.to_owned();
    for (escape, character) in [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ] {
        plain = plain.replace(escape, character);
    }
    plain
}

/// The tags of a page in their order, closing ones with a slash before their name.
pub(crate) fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(begin) = rest.find('<') {
        rest = &rest[begin + 1..];
        let mut tag = Tag::default();
        let end = rest.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(rest.len());
        tag.name = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        loop {
            rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with('>') {
                rest = rest.get(1..).unwrap_or_default();
                break;
            }
            let end = rest.find(|c: char| c.is_whitespace() || c == '>' || c == '=').unwrap_or(rest.len());
            let name = rest[..end].to_owned();
            rest = &rest[end..];
            let mut value = String::new();
            if let Some(quoted) = rest.strip_prefix('=') {
                let quote = quoted.chars().next().unwrap();
                assert!(quote == '"' || quote == '\'', "the attribute {name} without quotes");
                let end = quoted[1..].find(quote).unwrap() + 1;
                value = unescaped(&quoted[1..end]);
                rest = &quoted[end + 1..];
            }
            tag.attributes.push((name, value));
        }
        let end = rest.find('<').unwrap_or(rest.len());
        tag.text = unescaped(&rest[..end]);
        tags.push(tag);
    }
    tags
}

/// A form, with a value for each of its fields.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) method: String,
    pub(crate) action: String,
    pub(crate) enctype: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// The forms of a page, each as it is sent when nothing more is typed than what has to be: `sample` by name and type of a
/// field. A form with several named buttons is as many forms.
pub(crate) fn forms(page: &str, sample: impl Fn(&str, &str) -> String) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut buttons: Vec<(String, String)> = Vec::new();
    let mut select: Option<String> = None;
    let mut is_open = false;
    for tag in tags(page) {
        let named = tag.attribute("name").map(str::to_owned);
        let value = tag.attribute("value").unwrap_or_default().to_owned();
        match &*tag.name {
            "form" => {
                is_open = true;
                let text = |name: &str| tag.attribute(name).unwrap_or_default().to_owned();
                forms.push(Form {
                    method: text("method"),
                    action: text("action"),
                    enctype: text("enctype"),
                    fields: Vec::new(),
                });
            }
            "/form" => {
                is_open = false;
                if let Some(form) = forms.last().cloned().filter(|_| !buttons.is_empty()) {
                    forms.pop();
                    for button in buttons.drain(..) {
                        let mut with = form.clone();
                        with.fields.push(button);
                        forms.push(with);
                    }
                }
            }
            _ if !is_open => {}
            "button" => buttons.extend(named.map(|name| (name, value))),
            "select" => select = named,
            "/select" => select = None,
            "option" => {
                if let Some(name) = select.take() {
                    let value = tag.attribute("value").map_or(tag.text.clone(), str::to_owned);
                    forms.last_mut().unwrap().fields.push((name, value));
                }
            }
            "textarea" | "input" => {
                let Some(name) = named else { continue };
                let kind = tag.attribute("type").unwrap_or("text").to_owned();
                let is_checked = tag.attribute("checked").is_some();
                if matches!(&*kind, "checkbox" | "radio") && !is_checked {
                    continue;
                }
                let typed = if tag.name == "textarea" { tag.text.trim().to_owned() } else { value };
                let is_needed = tag.attribute("required").is_some() && typed.is_empty();
                let typed = if is_needed { sample(&name, &kind) } else { typed };
                forms.last_mut().unwrap().fields.push((name, typed));
            }
            _ => {}
        }
    }
    forms
}

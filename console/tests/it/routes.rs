//! Every route as every kind of caller: whom it is not for is refused, and nothing is done.

use std::fs;
use std::path::Path;

use axum::http::StatusCode;

use crate::fixture::{CANARY, Fixture};

/// A route, who may use it, and the fields of a form that it takes.
struct Route {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    allowed: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

const fn get(path: &'static str, query: &'static str, allowed: &'static str) -> Route {
    Route { method: "GET", path, query, allowed, fields: &[] }
}

const fn post(
    path: &'static str,
    allowed: &'static str,
    fields: &'static [(&'static str, &'static str)],
) -> Route {
    Route { method: "POST", path, query: "", allowed, fields }
}

const CALLERS: [&str; 6] = ["root", "dev", "cust", "nobody", "clerk", "customer"];
const ALL: &str = "root dev cust nobody clerk customer";
const ACCOUNTS: &str = "root dev cust nobody clerk";
const CUSTOMERS: &str = "root cust customer";
const READERS: &str = "root clerk";
const SHOP: &str = "root dev";
const PROFILE: &str = "/apps/{app}/profiles/{profile}";

/// Routes that anybody may call, also without a session: their own tests are beside.
const PUBLIC: [&str; 6] = ["/login", "/setup", "/language", "/theme", "/csp", "/assets/{digest}/{name}"];

/// Routes whose refusals are tested with what they do, in `change_sets` and `moves`.
const ELSEWHERE: [&str; 17] = [
    "/inbox",
    "/inbox/approve",
    "/inbox/reject",
    "/inbox/promote",
    "/inbox/abort",
    "{profile}/releases/{id}/rollback",
    "{profile}/text",
    "{profile}/changesets",
    "{profile}/changesets/{id}",
    "{profile}/changesets/{id}/approve",
    "{profile}/changesets/{id}/discard",
    "{profile}/changesets/{id}/publish",
    "{profile}/files",
    "{profile}/export",
    "/compare",
    "/compare/copy",
    "/search",
];

const ROUTES: &[Route] = &[
    get("/", "", ALL),
    post("/logout", ALL, &[]),
    get("/me", "", ALL),
    post("/me/password", ACCOUNTS, &[("old", "x"), ("new", "long enough"), ("again", "long enough")]),
    post("/me/tokens", ACCOUNTS, &[("name", "t"), ("days", "1")]),
    post("/me/tokens/end", ACCOUNTS, &[("id", "999")]),
    get("/admin/accounts", "", READERS),
    post(
        "/admin/accounts",
        READERS,
        &[("name", "new"), ("mail", "new@example.com"), ("password", "long enough"), ("permissions", "")],
    ),
    post(
        "/admin/accounts/update",
        "root clerk dev",
        &[("name", "dev"), ("department", "x"), ("permissions", "")],
    ),
    post("/admin/accounts/delete", READERS, &[("name", "dev")]),
    get("/admin/accounts/account", "name=dev", READERS),
    post("/admin/accounts/disable", READERS, &[("name", "dev"), ("disabled", "true")]),
    post("/admin/accounts/end-token", READERS, &[("name", "dev"), ("id", "999")]),
    get("/admin/companies", "", READERS),
    post(
        "/admin/companies",
        READERS,
        &[("company_name", "c"), ("owner_name", "o"), ("owner_email", "o@example.com")],
    ),
    get("/admin/audit", "", "root"),
    get("/admin/system", "", "root"),
    get("/apps", "", ACCOUNTS),
    post("/apps", ACCOUNTS, &[("app", "new"), ("name", "n"), ("charger", "c")]),
    get("/apps/{app}", "", SHOP),
    get("/apps/{app}/profiles", "profile=prod", ALL),
    post("/apps/{app}/members", "root", &[("account", "1"), ("permission", "1")]),
    post("/apps/{app}/members/delete", "root", &[("id", "1")]),
    post("/apps/{app}/keys", "root", &[]),
    post("/apps/{app}/keys/delete", "root", &[("id", "1")]),
    post("/apps/{app}/delete", "root", &[("app", "shop")]),
    get(PROFILE, "", SHOP),
    post(PROFILE, SHOP, &[("key", "k"), ("value", "v")]),
    post("{profile}/update", SHOP, &[("key", "motd"), ("version", "1"), ("value", "v")]),
    post("{profile}/approve", "root", &[("key", "draft/key"), ("version", "1")]),
    post("{profile}/delete", "root", &[("key", "motd"), ("again", "motd"), ("version", "1")]),
    get("{profile}/item", "key=motd", SHOP),
    post("{profile}/rollback", SHOP, &[("key", "motd"), ("version", "1")]),
    get("{profile}/publish", "key=motd", "root"),
    post("{profile}/publish", "root", &[("key", "motd"), ("version", "1"), ("to", "all")]),
    get("{profile}/releases", "", SHOP),
    get("{profile}/releases/{id}", "", SHOP),
    get("{profile}/releases/{id}/live", "", SHOP),
    post("{profile}/releases/{id}/promote", "root", &[]),
    post("{profile}/releases/{id}/abort", "root", &[]),
    get("{profile}/nodes", "", SHOP),
    get("{profile}/nodes/node", "id=seen", SHOP),
    get("/cdn/jobs", "", CUSTOMERS),
    post("/cdn/jobs", CUSTOMERS, &[("kind", "refresh"), ("urls", "http://cdn.example.com/")]),
    get("/cdn/jobs/{taskid}", "", CUSTOMERS),
    get("/cdn/jobs/{taskid}/live", "", CUSTOMERS),
    post("/cdn/jobs/{taskid}/retry", "root", &[]),
    get("/cdn/traffic", "", CUSTOMERS),
    get("/cdn/traffic.csv", "", CUSTOMERS),
    get("/cdn/top", "", CUSTOMERS),
    get("/cdn/areas", "", CUSTOMERS),
    get("/cdn/alarms", "", CUSTOMERS),
    get("/cdn/thresholds", "", CUSTOMERS),
    post("/cdn/thresholds", CUSTOMERS, &[("domain", "cdn.example.com"), ("bandwidth", "5")]),
    post("/cdn/thresholds/delete", CUSTOMERS, &[("domain", "cdn.example.com")]),
    get("/cdn/hosts", "", "root"),
    get("/cdn/bills", "", "root"),
    get("/cdn/bills.csv", "", "root"),
    get("/cdn/billing", "", CUSTOMERS),
    get("/cdn/logs", "", CUSTOMERS),
    get("/cdn/logs/download", "file=x&expires=1&sig=x", ""),
    get("/cdn/domains", "", CUSTOMERS),
    post(
        "/cdn/domains",
        "root",
        &[("customer", "cust@example.com"), ("cdn", "level3"), ("domains", "x.example.com")],
    ),
    get("/cdn/edges", "", "root"),
    get("/cdn/customers", "", "root"),
    post("/cdn/customers", "root", &[("mail", "dev@example.com"), ("password", "long enough")]),
    post("/cdn/customers/update", "root", &[("mail", "cust@example.com")]),
    post("/cdn/customers/delete", "root", &[("mail", "cust@example.com")]),
    get("/tasks", "", READERS),
    post("/tasks", "root", &[("ip", "10.0.0.1"), ("action", "a"), ("content", "/x"), ("description", "d")]),
    get("/tasks/{id}", "", READERS),
    get("/tasks/{id}/live", "", READERS),
    post("/tasks/{id}/order", "root", &[("demand", "cancel")]),
    post("/tasks/{id}/delete", "root", &[]),
    get("/batches", "", READERS),
    post("/batches", "root", &[("targets", "all"), ("action", "a"), ("content", "/x"), ("description", "d")]),
    get("/batches/new", "", "root"),
    get("/batches/{id}", "", READERS),
    get("/batches/{id}/live", "", READERS),
    post("/batches/{id}/order", "root", &[("demand", "pause")]),
    get("/files", "", "root"),
    post("/files", "root", &[]),
    get("/machines", "", READERS),
    post("/machines", "root", &[("name", "m"), ("inside_ip", "10.0.0.5"), ("usage", "u"), ("location", "l")]),
    post(
        "/machines/update",
        "root",
        &[("name", "web01"), ("inside_ip", "10.0.0.5"), ("usage", "u"), ("location", "l")],
    ),
    post("/machines/delete", "root", &[("name", "web01")]),
    get("/machines/machine", "name=web01", READERS),
    post("/machines/enroll", "root", &[("name", "web01")]),
    post("/machines/revoke", "root", &[("name", "web01")]),
];

/// The paths that the sources give to routers.
fn paths() -> Vec<String> {
    let mut paths = Vec::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for folder in ["", "account", "ops", "config", "cdn"] {
        for name in ["mod.rs", "router.rs"] {
            let Ok(source) = fs::read_to_string(sources.join(folder).join(name)) else { continue };
            for begin in source.match_indices(".route(").map(|(at, found)| at + found.len()) {
                let argument = source[begin..].trim_start();
                if let Some(literal) = argument.strip_prefix('"') {
                    paths.push(literal.split('"').next().unwrap().to_owned());
                } else if let Some(literal) = argument.strip_prefix("&at(\"") {
                    paths.push(format!("{{profile}}{}", literal.split('"').next().unwrap()));
                } else {
                    assert!(
                        argument.starts_with("PROFILE,"),
                        "unknown way to name a route: {}",
                        &argument[..40]
                    );
                    paths.push(PROFILE.to_owned());
                }
            }
        }
    }
    paths
}

#[test]
fn every_route_is_in_the_table() {
    let paths = paths();
    assert!(paths.len() > 60, "only {} routes were found", paths.len());
    for path in &paths {
        let is_elsewhere = PUBLIC.contains(&&**path) || ELSEWHERE.contains(&&**path);
        let is_known = is_elsewhere || ROUTES.iter().any(|route| route.path == path);
        assert!(is_known, "{path} is in no table");
    }
    for route in ROUTES {
        assert!(paths.iter().any(|path| path == route.path), "there is no {}", route.path);
    }
}

/// What a page links to first below a path.
fn linked(page: &str, path: &str) -> String {
    let rest = page.split(path).nth(1).unwrap_or_else(|| panic!("no link to {path}"));
    rest.split(['"', '?', '/']).next().unwrap().to_owned()
}

#[tokio::test]
async fn whom_a_route_is_not_for_is_refused() {
    let fixture = Fixture::seeded().await;
    fixture.register("seen").await;
    let mut sessions = Vec::new();
    for name in CALLERS {
        let session =
            if name == "customer" { fixture.cdn_session().await } else { fixture.session(name).await };
        sessions.push((name, session));
    }
    let root = sessions[0].1.clone();
    let profile = "/apps/shop/profiles/prod";
    let page = async |path: &str| fixture.get(&root, &format!("/console{path}")).await.ok();
    let release = linked(&page(&format!("{profile}/releases")).await, "/profiles/prod/releases/");
    let (task, batch) = (linked(&page("/tasks").await, "/console/tasks/"), {
        let batches = page("/batches").await.replace("/console/batches/new", "");
        linked(&batches, "/console/batches/")
    });
    let job = linked(&page("/cdn/jobs").await, "/console/cdn/jobs/");
    let mut wrong = Vec::new();
    for route in ROUTES {
        let id = if route.path.starts_with("/tasks") {
            &task
        } else if route.path.starts_with("/batches") {
            &batch
        } else {
            &release
        };
        let path = if route.path == PROFILE { "{profile}" } else { route.path };
        let path = path.strip_prefix("{profile}").map_or(path.to_owned(), |rest| format!("{profile}{rest}"));
        let path = path.replace("{app}", "shop").replace("{id}", id).replace("{taskid}", &job);
        let path = format!("/console{}", if path == "/" { "" } else { &path });
        let path = if route.query.is_empty() { path } else { format!("{path}?{}", route.query) };
        let call = async |fixture: &Fixture, session: &str| match (route.method, route.path) {
            ("GET", _) => fixture.get(session, &path).await,
            (_, "/files") => fixture.upload(session, "/console/files", CANARY, &[]).await,
            _ => fixture.post(session, &path, route.fields).await,
        };
        let anonymous = call(&fixture, "").await;
        let expected = if route.method == "GET" { StatusCode::SEE_OTHER } else { StatusCode::UNAUTHORIZED };
        assert_eq!(anonymous.status, expected, "{} {path} as nobody", route.method);
        if anonymous.status == StatusCode::SEE_OTHER {
            assert!(anonymous.location().starts_with("/console/login"), "{path}");
        }
        for (name, session) in &sessions {
            // What is live does not end for those who may see it.
            if route.path.ends_with("/live") && route.allowed.contains(name) {
                continue;
            }
            let answer = call(&fixture.fork(), session).await;
            let status = answer.status.as_u16();
            let is_allowed = route.allowed.split(' ').any(|allowed| allowed == *name);
            let expected: &[u16] = if is_allowed { &[200, 303, 404, 409, 422] } else { &[403, 404] };
            if !expected.contains(&status) {
                wrong.push(format!("{} {path} as {name}: {status}", route.method));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A path of the table with the names and numbers of things that are there.
fn filled_in(path: &str) -> String {
    let profile = "/console/apps/shop/profiles/prod";
    let path = if path == PROFILE { "{profile}" } else { path };
    let path =
        path.strip_prefix("{profile}").map_or(format!("/console{path}"), |rest| format!("{profile}{rest}"));
    path.replace("{app}", "shop").replace("{id}", "1").replace("{taskid}", "1")
}

#[tokio::test]
async fn a_misspelt_field_is_refused_by_name() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    for route in ROUTES.iter().filter(|route| route.method == "POST") {
        let mut fields = route.fields.to_vec();
        fields.push(("surprise", "x"));
        let path = filled_in(route.path);
        let refused = match route.path {
            "/files" => fixture.fork().upload(&session, &path, "a file", &fields).await,
            _ => fixture.fork().post(&session, &path, &fields).await,
        };
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}: {}", refused.body);
        assert!(refused.body.contains("surprise"), "{path}: {}", refused.body);
    }
}

#[tokio::test]
async fn a_path_that_only_takes_forms_leads_to_its_page() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let mut followed = 0;
    for path in ROUTES.iter().filter(|route| route.method == "POST").map(|route| route.path) {
        // Those with a page of their own open it, and what the numbers in others name is not there.
        let is_page = ROUTES.iter().any(|route| route.method == "GET" && route.path == path);
        if is_page || path.contains("id}") {
            continue;
        }
        let mut answer = fixture.get(&session, &filled_in(path)).await;
        for _ in 0..3 {
            if answer.status != StatusCode::SEE_OTHER {
                break;
            }
            followed += 1;
            let next = answer.location().to_owned();
            answer = fixture.get(&session, &next).await;
        }
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    }
    assert!(followed > 15, "only {followed} led elsewhere");
}

//! Programs written years ago from the API documents alone, through their day on each store: an agent on a machine, a
//! customer portal in PHP with one identity, and a tool of the config centre.

use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value, json};

use crate::support::{ApiClient, Installation, PASSWORD, ROOT, with_unreachable_edge};

#[tokio::test]
async fn on_memory() {
    run(with_unreachable_edge(Installation::memory())).await;
}

#[tokio::test]
async fn on_sqlite() {
    run(with_unreachable_edge(Installation::sqlite())).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(postgres) = postgres_or_skip("server::documented_clients::on_postgres") else { return };
    run(with_unreachable_edge(Installation::postgres(&postgres.database()))).await;
}

async fn run(installation: Installation) {
    let server = installation.serve().await;
    let anonymous = ApiClient::new(&[&server]);
    let root = anonymous.login(ROOT).await;
    for (name, permissions) in [("agent", "1,2,4,5"), ("portal", "6,7,8"), ("tool", "")] {
        let data = json!({
            "mail": format!("{name}@example.com"), "name": name, "passwd": PASSWORD, "department": "dev",
            "permissions": permissions,
        });
        root.post("/admin/user", json!({"action": "add", "data": data})).await.ok();
    }
    agent(&anonymous, &root).await;
    portal(&anonymous).await;
    config_tool(&anonymous, &root).await;
}

/// Logs in as the ops document shows, by a form.
async fn log_in(anonymous: &ApiClient, name: &str) -> ApiClient {
    let form = format!("name={name}&password={}", PASSWORD.replace(' ', "+"));
    let access = anonymous.form("POST", "/admin/user_login", &form).await.ok();
    anonymous.with_token(access["info"]["access_token"].as_str().unwrap())
}

/// The members of an object, in the order of their names.
fn members(row: &Value) -> Vec<&str> {
    let mut members: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    members
}

/// Announces its machine, takes its tasks in order, reports progress, repeats a report whose answer it did not get, and
/// puts a file back. It knows of a status only whether it has begun.
async fn agent(anonymous: &ApiClient, root: &ApiClient) {
    let agent = log_in(anonymous, "agent").await;
    let machine = |action: &str| {
        format!(
            "action={action}&data[machine_name]=web01&data[inside_ip]=10.2.2.2&data[outside_ip]=111.111.11.1\
             &data[userage]=web+%E6%9C%8D%E5%8A%A1%E5%99%A81&data[is_initialized]=0&data[location]=%E9%98%BF%E9%87%8C%E4%BA%91"
        )
    };
    let announced = agent.form("POST", "/api/machine_info", &machine("add")).await.ok();
    assert_eq!(announced, json!({"code": 200, "ok": true, "info": "add machine info ok"}));
    let again = agent.form("POST", "/api/machine_info", &machine("add")).await;
    assert_eq!((again.codes(), &again.body["ok"]), ((200, 409), &json!(false)), "it was announced before");
    let updated = agent.form("POST", "/api/machine_info/", &machine("update")).await.ok();
    assert_eq!(updated["info"], "update machine info ok");
    let found = agent.get("/api/machine_info?machine_name=web01").await.ok();
    assert_eq!(found["info"][0]["usage"], "web 服务器1");

    for (ip, content) in [("10.2.2.2", "/etc/motd"), ("10.9.9.9", "/etc/other"), ("10.2.2.2", "/etc/hosts")] {
        let data = json!({"ip": ip, "action": "update", "content": content, "description": "更新xxx功能"});
        root.post("/api/task", json!({"action": "add", "data": data})).await.ok();
    }
    let listed = agent.get("/api/task?start=0&count=10").await.ok();
    let tasks = listed["info"].as_array().unwrap();
    for task in tasks {
        let documented = ["action", "content", "create_time", "description", "id", "ip", "task_id"];
        assert_eq!(members(task), documented);
    }
    let own: Vec<_> = tasks.iter().filter(|task| task["ip"] == "10.2.2.2").collect();
    let contents: Vec<_> = own.iter().map(|task| task["content"].as_str().unwrap()).collect();
    assert_eq!(contents, ["/etc/motd", "/etc/hosts"]);

    let first = own[0]["task_id"].as_str().unwrap();
    let report = async |percent: i64, status: i64, revert: i64| {
        let form = format!(
            "action=update&data[task_id]={first}&data[percent]={percent}&data[status]={status}&data[revert]={revert}"
        );
        agent.form("POST", "/api/task_status", &form).await
    };
    let shown = async || {
        let rows = agent.get(&format!("/api/task_status?task_id={first}")).await.ok();
        let row = rows["info"][0].clone();
        let documented = ["id", "percent", "revert", "revert_time", "start_time", "status", "task_id"];
        assert_eq!(members(&row), documented);
        ["status", "percent", "revert"].map(|member| row[member].as_i64().unwrap())
    };
    assert_eq!(shown().await, [0, 0, 0]);
    for percent in [0, 10, 10, 60, 100, 100] {
        assert_eq!(report(percent, 1, 0).await.ok()["info"], "update task status ok", "{percent}");
        assert_eq!(shown().await, [1, percent, 0]);
    }
    for percent in [0, 50, 100] {
        report(percent, 1, 1).await.ok();
        let [_, shown, revert] = shown().await;
        assert_eq!((shown, revert), (percent, 1));
    }
    let deleted = agent.send("DELETE", "/api/task", Some(&json!({"task_id": first}))).await.unwrap().ok();
    assert_eq!(deleted["info"], "delete task ok");
    for list in ["task", "task_status"] {
        let gone = agent.get(&format!("/api/{list}?task_id={first}")).await.ok();
        assert_eq!(gone["info"], json!([]), "{list}");
    }
    assert_eq!(agent.get("/admin/user?username=root").await.codes(), (200, 404));
}

/// Serves two customers with one identity: names each by `login_email`, writes arrays as PHP does, and logs in for a
/// customer who looks at figures.
async fn portal(anonymous: &ApiClient) {
    let portal = log_in(anonymous, "portal").await;
    for name in ["ann", "bob"] {
        let mail = format!("{name}@customer.example");
        let company = format!(
            "company_name={name}+Ltd&company_alias={name}&owner_name={name}&owner_email={name}%40customer.example"
        );
        portal.form("POST", "/useful/create/company", &company).await.ok();
        let user = portal
            .form("POST", &format!("/level3/user?login_email={mail}"), "password=12345678&operations=true")
            .await
            .ok();
        assert_eq!(user, json!({"err": 0, "user": mail, "operate_right": true, "cdns": []}));
        let domains =
            format!("login_email={mail}&cdn=level3&domains[]=a.{name}.test&domains[]=b.{name}.test");
        let held = portal.form("POST", "/level3/user_domains", &domains).await.ok();
        let names = json!([format!("a.{name}.test"), format!("b.{name}.test")]);
        assert_eq!(held, json!({"err": 0, "results": [{"domains": names, "cdn": "level3"}]}));
    }
    let mail = "ann@customer.example";
    let taken = format!("login_email={mail}&cdn=level3&domains[0]=a.bob.test");
    assert_eq!(portal.form("POST", "/level3/user_domains", &taken).await.codes(), (200, 5));
    let listed = portal.get(&format!("/level3/user_domains?login_email={mail}")).await.ok();
    let active = |domain: &str| json!({"domain": domain, "state": "Active"});
    let results = json!([{"domains": [active("a.ann.test"), active("b.ann.test")], "cdn": "level3"}]);
    assert_eq!(listed, json!({"err": 0, "user": mail, "operate_right": true, "results": results}));
    let cdns =
        portal.form("POST", "/level3/user_cdns", &format!("login_email={mail}&cdns[]=level3")).await.ok();
    assert_eq!(cdns, json!({"err": 0, "cdns": ["level3"]}));
    let id = portal.get("/level3/cdn").await.ok()["results"][0]["id"].clone();
    let replaced = format!("login_email={mail}&cdns[0]=level3&domains=a.ann.test");
    let held = portal.form("PUT", &format!("/level3/user_domains?id={id}"), &replaced).await.ok();
    assert_eq!(held["results"][0]["domains"], json!(["a.ann.test"]));

    let path = "http://a.ann.test/test.html|http://a.ann.test/test1.html";
    let form = format!("login_email={mail}&path={}", path.replace('|', "%7C"));
    let refresh = portal.form("POST", "/level3/refresh", &form).await.ok();
    assert_eq!((&refresh["status"], &refresh["results"][0]["url"]), (&json!("success"), &json!(path)));
    let parts = format!(
        "--x\r\nContent-Disposition: form-data; name=\"login_email\"\r\n\r\n{mail}\r\n\
         --x\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\nhttp://a.ann.test/test.html\r\n--x--\r\n"
    );
    portal.body("POST", "/level3/preload", "multipart/form-data; boundary=x", &parts).await.ok();
    for list in ["refresh_list", "preload_list"] {
        let named = json!({"login_email": mail});
        let jobs = portal.send("GET", &format!("/level3/{list}"), Some(&named)).await.unwrap().ok();
        let job = &jobs["results"][0];
        assert_eq!(members(job), ["percentComplete", "taskid", "time", "url"], "{list}");
        assert_eq!(job["percentComplete"], "0");
    }
    let others = portal.get("/level3/refresh_list?login_email=bob@customer.example").await.ok();
    assert_eq!(others, json!({"err": 0, "results": []}));

    let login =
        portal.form("POST", "/level3/login", &format!("login_email={mail}&password=12345678")).await.ok();
    let token = login["token"].as_str().unwrap();
    let customer = anonymous.with_token(token);
    let domains = customer.get("/level3/domains").await.ok();
    assert_eq!(domains, json!({"err": 0, "domains": ["a.ann.test"]}));
    for series in ["bandwidths", "fluxs"] {
        let range = "startTime=1470297000&endTime=1470297600";
        let figures = customer.get(&format!("/level3/{series}?domain.0=a.ann.test&{range}")).await.ok();
        let points = [1_470_297_000, 1_470_297_300, 1_470_297_600];
        assert_eq!(figures["results"], json!(points.map(|at| json!({"timeStamp": at, "value": 0}))));
        let foreign = customer.get(&format!("/level3/{series}?domain.0=a.bob.test&{range}")).await;
        assert_eq!(foreign.codes(), (200, 4));
    }
    let logs = "/level3/logdownload?domain=a.ann.test&startDate=20160928&endDate=20160929";
    let day = |date: &str| json!({"domain": "a.ann.test", "date": date, "size": 0, "url": ""});
    assert_eq!(customer.get(logs).await.ok()["results"], json!([day("2016-09-28"), day("2016-09-29")]));

    let argument = json!({"token": token});
    let check = async || anonymous.send("GET", "/level3/logincheck", Some(&argument)).await.unwrap().ok();
    assert_eq!(check().await["online"], true);
    anonymous.form("POST", "/level3/logout", &format!("token={token}")).await.ok();
    assert_eq!(check().await["online"], false);
}

/// Writes every call as the URL that the document shows, without methods and bodies.
async fn config_tool(anonymous: &ApiClient, root: &ApiClient) {
    let tool = log_in(anonymous, "tool").await;
    let call = async |uri: &str| tool.get(uri).await.ok()["data"].clone();
    call("/app/create?app=app10&appType=1&name=test-name2&charger=dyf").await;
    assert_eq!(tool.get("/app/create?app=app10&appType=1&name=again&charger=dyf").await.codes(), (200, 5));
    call("/app/update?app=app10&appType=9&name=test-name3&charger=dyf").await;
    let apps = call("/app/list").await;
    assert_eq!(members(&apps[0]), ["App", "AppType", "Charger", "CreateTime", "Name"]);
    assert_eq!((&apps[0]["App"], &apps[0]["AppType"]), (&json!("app10"), &json!(9)));

    let uid = root.get("/admin/user?username=portal").await.ok()["info"]["id"].clone();
    call(&format!("/userauth/create?app=app10&permission=1&uid={uid}&username=portal")).await;
    let grants = call("/userauth/list/app10").await;
    let portal = grants.as_array().unwrap().iter().find(|grant| grant["Uid"] == uid).unwrap().clone();
    assert_eq!(members(&portal), ["App", "Id", "Permission", "Uid", "Uname"]);
    call(&format!("/userauth/update_permission?id={}&permission=9", portal["Id"])).await;
    call(&format!("/userauth/del?id={}", portal["Id"])).await;
    assert_eq!(call("/userauth/list/app10").await.as_array().unwrap().len(), 1);

    let item = "app=app10&profile=test&key=k1";
    let id = call(&format!("/config/create?{item}&value=v1&validator=&description=first")).await;
    let again = tool.get(&format!("/config/create?{item}&value=v1&validator=&description=first")).await;
    assert_eq!(again.codes(), (200, 5));
    call(&format!("/config/update?{item}&value=v2&validator=function(v)%7Breturn+v%7D&description=second"))
        .await;
    let found = call(&format!("/config/queryWithKey?{item}")).await;
    assert_eq!(
        (&found["Value"], &found["Version"], &found["ApproveType"]),
        (&json!("v2"), &json!(2), &json!(0))
    );
    assert_eq!(found["Validator"], "function(v){return v}");
    assert_eq!(tool.get(&format!("/publish?id={id}")).await.codes(), (200, 7), "nobody has approved it");
    call(&format!("/config/approve?{item}")).await;

    let key = call("/app/key/create?app=app10").await["Key"].as_str().unwrap().to_owned();
    let node = anonymous.with_token(&key);
    for name in ["11", "22"] {
        let body = json!({"app": "app10", "profile": "test", "nodeId": name, "pid": "7"});
        node.post("/node/register", body).await.ok();
    }
    let online = call("/node/list?app=app10&profile=test").await;
    assert_eq!(members(&online), ["11", "22"]);
    for member in ["App", "NodeId", "Pid", "Profile", "RegisterTime"] {
        assert!(online["11"].get(member).is_some(), "{member}: {online}");
    }
    let held = async |name: &str| {
        let held = node.get(&format!("/node/config?app=app10&profile=test&nodeId={name}")).await.ok();
        let items = held["data"]["Items"].as_array().unwrap().clone();
        items.iter().map(|item| item["Value"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    call(&format!("/publish?id={id}&nodes=22,")).await;
    assert_eq!((held("11").await, held("22").await), (vec![], vec!["v2".to_owned()]));
    let release = call(&format!("/publish?id={id}&nodes=11,%2022")).await;
    assert_eq!(release["Kind"], "full", "all that are online");
    assert_eq!((held("11").await, held("22").await), (vec!["v2".to_owned()], vec!["v2".to_owned()]));

    call(&format!("/config/rollback?{item}&version=1")).await;
    let listed = call("/config/query?app=app10&profile=test").await;
    assert_eq!((&listed[0]["Value"], &listed[0]["PublishedValue"]), (&json!("v1"), &json!("v2")));
    assert_eq!(call("/config/profiles/app10").await, json!(["test"]));
    assert_eq!(tool.get("/app/del/app10").await.codes(), (200, 7), "it has items");
    call(&format!("/config/del?{item}")).await;
    assert_eq!(tool.get(&format!("/config/queryWithKey?{item}")).await.codes(), (200, 6));
    assert_eq!(held("11").await, Vec::<String>::new());
    call("/app/del/app10").await;
    assert_eq!(call("/app/list").await, json!([]));
}

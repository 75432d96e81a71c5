use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::getuid;
use tempfile::TempDir;

use crate::free_port;

/// Time-out of an edge's start until it listens, long enough for a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Supervisor shell script: runs a program until a line or the end of file arrives on standard input. The end of file comes
/// with the end of this process, however it ends, so the program never outlives it.
const SUPERVISOR: &str = r#"
"$@" </dev/null & program=$!
read -r command
[ "$command" = crash ] && signal=KILL || signal=TERM
kill -s $signal $program
wait $program 2>/dev/null
"#;

/// Server software of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeProgram {
    /// Varnish, with varnish-modules.
    Varnish,
    /// nginx, with its Lua module.
    Nginx,
}

/// Throwaway Varnish or nginx on a port of 127.0.0.1, in a folder of its own. It is stopped when this value is dropped, and in
/// any case when the test process ends; installed servers and their files are not touched.
#[derive(Debug)]
pub struct EdgeServer {
    program: EdgeProgram,
    /// Port on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl EdgeProgram {
    /// Whether it is installed with the modules that an edge needs.
    pub fn is_installed(self) -> bool {
        match self {
            Self::Varnish => find("varnishd").is_some(),
            Self::Nginx => {
                find("nginx").is_some() && LUA_MODULES.iter().all(|module| Path::new(module).is_file())
            }
        }
    }
}

/// Paths of nginx's Lua module and its dependency in Debian.
const LUA_MODULES: [&str; 2] =
    ["/usr/lib/nginx/modules/ndk_http_module.so", "/usr/lib/nginx/modules/ngx_http_lua_module.so"];

impl EdgeServer {
    /// Starts an edge; `configure` returns its configuration from its port and its folder.
    ///
    /// # Panics
    /// When the edge does not listen within a minute.
    pub fn start(program: EdgeProgram, configure: impl FnOnce(u16, &Path) -> String) -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        let mut server = Self { program, port: free_port(), folder, child: None };
        fs::write(server.file("config"), configure(server.port, server.folder.path()))
            .expect("a file can be written");
        if program == EdgeProgram::Nginx {
            fs::write(server.file("nginx.conf"), server.nginx_conf()).expect("a file can be written");
        }
        server.restart();
        server
    }

    /// Path of a file in the edge's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Stops the edge (SIGTERM); its files stay.
    ///
    /// # Panics
    /// When the system cannot wait for the process.
    pub fn stop(&mut self) {
        self.end("stop");
    }

    /// Kills the edge as in a crash (SIGKILL); its files stay.
    ///
    /// # Panics
    /// When the system cannot wait for the process.
    pub fn crash(&mut self) {
        self.end("crash");
    }

    /// Makes nginx reload its configuration.
    ///
    /// # Panics
    /// When nginx reports an error.
    pub fn reload(&self) {
        self.signal("reload");
    }

    /// Makes nginx open its logs anew, as after their rotation.
    ///
    /// # Panics
    /// When nginx reports an error.
    pub fn reopen_log(&self) {
        self.signal("reopen");
    }

    fn signal(&self, signal: &str) {
        let nginx = find("nginx").expect("nginx is installed");
        let conf = self.file("nginx.conf");
        let mut command = Command::new(nginx);
        command.args(["-s", signal, "-c"]).arg(conf).arg("-p").arg(self.folder.path());
        let done = command.stderr(Stdio::null()).status().expect("nginx can be started");
        assert!(done.success());
    }

    /// Starts the edge again after a stop or crash, and waits until it listens.
    ///
    /// # Panics
    /// When it does not listen within a minute.
    pub fn restart(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.file("log"));
        let log = log.expect("a file can be made");
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISOR, "supervisor"]).args(self.command());
        // In its own process group, so that Ctrl-C does not reach it before the end of file does.
        command.process_group(0).stdin(Stdio::piped());
        command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        self.child = Some(command.spawn().expect("sh can be started"));
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let log = || fs::read_to_string(self.file("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{:?} does not listen:\n{}", self.program, log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn command(&self) -> Vec<String> {
        let (port, path) = (self.port, |name: &str| self.file(name).display().to_string());
        let text = |text: &str| text.to_owned();
        match self.program {
            EdgeProgram::Varnish => {
                let (listen, config) = (format!("127.0.0.1:{port}"), path("config"));
                let program = find("varnishd").expect("varnishd is installed");
                // Varnish's jail would run the child as another user, who cannot read this user's private folder.
                let arguments = ["-j", "none", "-F", "-n", &path("work"), "-a", &listen, "-f", &config];
                let storage = ["-s", "malloc,64m", "-p", "thread_pool_min=20", "-p", "thread_pools=1"];
                // As the head of the generated configuration names them.
                let logged =
                    ["vsl_mask=+Debug", "workspace_thread=8k", "http1_iovs=400", "fetch_chunksize=512k"];
                let logged = logged.into_iter().flat_map(|parameter| ["-p", parameter]);
                let all = arguments.into_iter().chain(storage).chain(logged).map(text);
                [program.display().to_string()].into_iter().chain(all).collect()
            }
            EdgeProgram::Nginx => {
                let program = find("nginx").expect("nginx is installed").display().to_string();
                vec![program, text("-p"), path(""), text("-c"), path("nginx.conf")]
            }
        }
    }

    /// Main configuration of nginx, which includes the edge's configuration.
    fn nginx_conf(&self) -> String {
        let modules = LUA_MODULES.map(|module| format!("load_module {module};\n")).concat();
        let user = if getuid().is_root() { "user root;\n" } else { "" };
        let folder = self.folder.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {folder}/{name};\n")).concat();
        format!(
            "{modules}{user}daemon off;\nworker_processes 2;\npid {folder}/pid;\nerror_log {folder}/log;\n\
             events {{}}\nhttp {{\n{temporary}include {folder}/config;\n}}\n"
        )
    }

    fn end(&mut self, command: &str) {
        if let Some(mut child) = self.child.take() {
            if let Some(mut commands) = child.stdin.take() {
                // Fails only when the supervisor has ended already.
                let _ = writeln!(commands, "{command}");
            }
            child.wait().expect("a child can be waited for");
        }
    }
}

impl Drop for EdgeServer {
    fn drop(&mut self) {
        self.end("stop");
    }
}

/// Finds a program in `PATH`, or in the folders where Debian installs servers.
fn find(program: &str) -> Option<PathBuf> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&in_path).collect();
    folders.extend(["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

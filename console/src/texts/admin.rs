//! Texts of the pages of administration and of sessions.

use std::borrow::Borrow;

use pilothouse_core::{Readiness, Unset};

table! {
    Texts, ENGLISH, CHINESE;
    after_password: "For this your password is asked again. It holds for ten minutes.", "此操作需再次输入密码，十分钟内有效。";
    all_set_up: "Everything is set up", "已全部配置";
    commit: "Commit", "提交";
    companies: "Companies", "公司";
    company: "Company", "公司";
    company_alias: "Short name", "简称";
    company_created: "The company and its owner's account are there", "公司与负责人账号已建立";
    company_hint: "The owner's account is made where the mail has none; it has no password until one is set.", "邮箱没有账号时新建负责人账号，设置密码前不能登录。";
    confirm: "Go on", "继续";
    confirm_password: "Confirm with your password", "请输入密码确认";
    disable: "Disable", "停用";
    enable: "Enable", "启用";
    last_success: "Last success", "最近成功";
    never: "not yet", "尚未";
    new_company: "New company", "新建公司";
    not_set_up: "Not set up", "尚未配置";
    overdue: "overdue", "超时";
    owner_mail: "Mail of the owner", "负责人邮箱";
    owner_name: "Name of the owner", "负责人姓名";
    restarts: "Restarts", "重启次数";
    schema: "Schema", "数据库结构版本";
    store: "Store", "存储";
    system: "System", "系统";
    system_hint: "Of the server that answered; others have their own jobs.", "仅为应答本页的服务器，其他服务器各有其任务。";
    theme: "Colours", "颜色";
    theme_dark: "dark", "深色";
    theme_light: "light", "浅色";
    theme_system: "of the system", "跟随系统";
    tokens_of: "Sessions and tokens of the account", "该账号的会话与令牌";
    worker: "Job", "后台任务";
    workers: "Background jobs", "后台任务";
    works: "works", "正常";
    wrong_confirmation: "The password is wrong", "密码错误";
}

impl super::Texts {
    /// Texts of the pages of administration and of sessions.
    pub(crate) fn admin(&self) -> &'static Texts {
        if self.is_chinese() { &CHINESE } else { &ENGLISH }
    }

    /// Whether a server can serve.
    pub(crate) fn readiness(&self, readiness: impl Borrow<Readiness>) -> &'static str {
        match *readiness.borrow() {
            Readiness::Ready => self.of("ready", "就绪"),
            Readiness::StoreNotReady => self.of("the store refuses", "存储拒绝写入"),
            Readiness::StoreSilent => self.of("the store does not answer", "存储无应答"),
            Readiness::WorkerStalled => self.of("a background job is overdue", "有后台任务超时"),
            _ => self.of("not ready", "未就绪"),
        }
    }

    /// Abilities that a server lacks while a part is not set up.
    pub(crate) fn unset(&self, part: impl Borrow<Unset>) -> &'static str {
        match *part.borrow() {
            Unset::Cdns => self.of("no cdn: nothing can be refreshed", "未配置 CDN，不能刷新"),
            Unset::GeoCityDatabase => self.of("no city database: no regions", "无城市库，没有地区数据"),
            Unset::LogArchive => self.of("no archive of logs: no downloads", "无日志存档，不能下载"),
            Unset::BlobStore => {
                self.of("no store of files: agents replace nothing", "无文件存储，代理不能更新文件")
            }
            Unset::Webhooks => self.of("no webhook: nobody is told of alarms", "无 Webhook，告警不外发"),
            Unset::FourEyesProfiles => {
                self.of("no profile under four eyes: own changes are approved", "无四眼审批环境，可自行审批")
            }
            _ => "",
        }
    }
}

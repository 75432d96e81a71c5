//! Texts of the pages of operations, and names of the states of batches and orders.

use std::borrow::Borrow;

use pilothouse_core::ops::{BatchState, OrderState};

table! {
    Texts, ENGLISH, CHINESE;
    agent: "Agent", "代理";
    batch: "Batch", "批次";
    batch_size: "Machines at once", "每批机器数";
    batches: "Batches", "批次";
    canaries: "Canaries", "金丝雀";
    canary: "Machines that must succeed first", "先行机器数（金丝雀）";
    check: "Check command", "检查命令";
    confirm_seconds: "Confirm window in seconds, 0 for none", "确认窗口（秒，0 为无）";
    duplicate: "Another machine with the same token asks, too: it may be a copy of this one", "另一台机器持同一令牌在请求，可能是本机的克隆";
    enroll: "Enrol the agent", "接入代理";
    enroll_command: "Run this on the machine, whose /etc/pilothouse/agent.toml names this server:", "在该机器上执行，其 /etc/pilothouse/agent.toml 须写明本服务器：";
    enroll_once: "The code is shown this once, and works once until", "此代码仅显示一次、仅可使用一次，有效至";
    expect_sha256: "SHA-256 that the file must have now", "文件当前须有的 SHA-256";
    expected_hash: "SHA-256 that it must have (may be empty)", "应有的 SHA-256（可留空）";
    failures: "Failures", "失败数";
    file: "File", "文件";
    file_group: "Group", "属组";
    file_mode: "Mode", "权限";
    file_owner: "Owner", "属主";
    files: "Files", "文件";
    files_hint: "A file is kept under its SHA-256. One that no task names is removed after 24 hours.", "文件按 SHA-256 保存，24 小时内没有任务引用则删除。";
    force: "also over files that were changed since", "覆盖之后被改动的文件";
    hostname: "Host name", "主机名";
    kernel: "Kernel", "内核";
    machines_all: "every machine", "全部机器";
    machines_by_address: "addresses", "地址";
    machines_by_location: "location", "位置";
    machines_by_name: "names", "名称";
    machines_by_usage: "usage", "用途";
    max_failures: "Failures at which it stops", "停止前允许的失败数";
    new_batch: "New batch", "新建批次";
    no_agent: "no agent", "没有代理";
    no_blobs: "No store of files is set up", "未配置文件存储";
    notice_uploaded: "The file is kept; its SHA-256:", "文件已保存，其 SHA-256：";
    offline: "offline", "离线";
    on_stop: "Then", "之后";
    open_orders: "Open orders", "未结束的指令";
    os: "Operating system", "操作系统";
    phase: "Phase", "阶段";
    plan_from: "Now", "现状";
    plan_result: "What it would do", "预演结果";
    plan_to: "Then", "之后";
    reload: "Reload command", "重载命令";
    revoke: "End the agent", "撤销代理";
    settled: "Ended", "已结束";
    sha256: "SHA-256", "SHA-256";
    targets: "Machines", "机器";
    targets_which: "Which, one a line", "哪些，每行一个";
    upload: "Upload", "上传";
    use_in_batch: "New batch with this file", "用此文件新建批次";
    use_in_task: "New task with this file", "用此文件新建任务";
    wrong_hash: "is not that of the file, which is", "与文件不符，文件的是";
}

impl super::Texts {
    /// Texts of the pages of operations.
    pub(crate) fn ops(&self) -> &'static Texts {
        if self.is_chinese() { &CHINESE } else { &ENGLISH }
    }

    /// Name of the state of a batch.
    pub(crate) fn batch_state(&self, state: impl Borrow<BatchState>) -> &'static str {
        match *state.borrow() {
            BatchState::Pending => self.of("not executed", "未执行"),
            BatchState::Running => self.running,
            BatchState::Paused => self.of("paused", "已暂停"),
            BatchState::Held => self.of("held", "已停住"),
            BatchState::Succeeded => self.of("succeeded", "成功"),
            BatchState::Failed => self.failed,
            BatchState::Cancelled => self.of("cancelled", "已取消"),
            BatchState::Reverting => self.of("reverting", "回退中"),
            BatchState::Reverted => self.of("reverted", "已回退"),
            BatchState::RevertFailed => self.of("revert failed", "回退失败"),
        }
    }

    /// Name of the state of an order.
    pub(crate) fn order_state(&self, state: impl Borrow<OrderState>) -> &'static str {
        match *state.borrow() {
            OrderState::Pending => self.of("pending", "待执行"),
            OrderState::Queued => self.of("queued", "排队中"),
            OrderState::Running => self.running,
            OrderState::Succeeded => self.of("succeeded", "成功"),
            OrderState::Failed => self.failed,
            OrderState::Cancelled => self.of("cancelled", "已取消"),
            OrderState::Expired => self.of("expired", "已过期"),
            OrderState::Unknown => self.of("unknown", "未知"),
            OrderState::Conflict => self.of("conflict", "冲突"),
            OrderState::Reverting => self.of("reverting", "回退中"),
            OrderState::Reverted => self.of("reverted", "已回退"),
            OrderState::RevertFailed => self.of("revert failed", "回退失败"),
        }
    }

    /// Name of what may be asked of a batch.
    pub(crate) fn batch_demand(&self, demand: &str) -> &'static str {
        match demand {
            "pause" => self.of("Pause", "暂停"),
            "resume" => self.of("Go on", "继续"),
            _ => self.demand(demand),
        }
    }

    /// Reaction of a batch to too many failed machines.
    pub(crate) fn on_stop(&self, name: &str) -> &'static str {
        match name {
            "revert" => self.of("put the old files back", "回退全部文件"),
            _ => self.of("wait for an operator", "停住，等人决定"),
        }
    }

    /// Effect of a plan on the file.
    pub(crate) fn planned(&self, action: &str) -> &'static str {
        match action {
            "create" => self.of("create it", "新建"),
            "replace" => self.of("replace it", "替换"),
            _ => self.of("nothing", "无需改动"),
        }
    }
}

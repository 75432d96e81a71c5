//! Names of states, kinds and rights in both languages.

use std::borrow::Borrow;

use pilothouse_core::account::{Group, Scope};
use pilothouse_core::cdn::{BillingRule, CellState, DomainState, EdgeState, JobState};
use pilothouse_core::config::{AckResult, NodeState, Permission, ReleaseKind, ReleaseState};
use pilothouse_core::ops::{Revert, Status};

use super::table::{CHINESE, Texts};

// Templates pass what they name by reference, code by value.
impl Texts {
    pub(super) fn is_chinese(&self) -> bool {
        std::ptr::eq(self, &raw const CHINESE)
    }

    pub(super) fn of(&self, english: &'static str, chinese: &'static str) -> &'static str {
        if self.is_chinese() { chinese } else { english }
    }

    /// Operations that a group permits.
    pub(crate) fn group(&self, group: impl Borrow<Group>) -> &'static str {
        match *group.borrow() {
            Group::ReadTasks => self.of("read tasks", "查看任务"),
            Group::WriteTasks => self.of("add and delete tasks", "新建与删除任务"),
            Group::ExecuteTasks => self.of("execute, revert and cancel tasks", "执行、回退与取消任务"),
            Group::ReadMachines => self.of("read machines", "查看机器"),
            Group::WriteMachines => self.of("change machines", "修改机器"),
            Group::ReadAccounts => self.of("read all accounts", "查看全部账号"),
            Group::WriteAccounts => self.of("change accounts and companies", "修改账号与公司"),
            Group::Cdn => self.of("act for every CDN customer", "代所有 CDN 客户操作"),
            Group::ReadAudit => self.of("read the audit trail", "查看审计"),
        }
    }

    /// Name of what a token opens.
    pub(crate) fn token_scope(&self, scope: impl Borrow<Scope>) -> &'static str {
        match *scope.borrow() {
            Scope::Account => self.of("log-in to the API", "API 登录"),
            Scope::Cdn => self.of("log-in to the CDN API", "CDN API 登录"),
            Scope::Api => self.of("API token", "API 令牌"),
            Scope::Console | Scope::ConsoleCdn => self.of("console", "控制台"),
        }
    }

    /// Name of a permission on an app.
    pub(crate) fn permission(&self, permission: impl Borrow<Permission>) -> &'static str {
        match *permission.borrow() {
            Permission::Read => self.may_read,
            Permission::Develop => self.may_develop,
            Permission::Manage => self.may_manage,
        }
    }

    /// Name of an edge's state.
    pub(crate) fn edge_state(&self, state: impl Borrow<EdgeState>) -> &'static str {
        match *state.borrow() {
            EdgeState::Unreachable => self.of("unreachable", "不可达"),
            EdgeState::CatchingUp => self.of("catching up", "追赶中"),
            EdgeState::InService => self.of("in service", "在服务"),
        }
    }

    /// Name of a domain's state.
    pub(crate) fn domain_state(&self, state: impl Borrow<DomainState>) -> &'static str {
        match *state.borrow() {
            DomainState::Pending => self.of("pending", "待生效"),
            DomainState::Active => self.of("active", "已生效"),
            DomainState::Offline => self.of("offline", "已下线"),
        }
    }

    /// Name of a job's state.
    pub(crate) fn job_state(&self, state: impl Borrow<JobState>) -> &'static str {
        match *state.borrow() {
            JobState::Pending => self.running,
            JobState::Done => self.done,
            JobState::Failed => self.failed,
        }
    }

    /// Name of the state of a URL on an edge.
    pub(crate) fn cell_state(&self, state: impl Borrow<CellState>) -> &'static str {
        match *state.borrow() {
            CellState::Pending | CellState::Running(_) => self.running,
            CellState::Acked => self.acked,
            CellState::Failed => self.failed,
        }
    }

    /// Name of a billing rule.
    pub(crate) fn billing_rule(&self, rule: impl Borrow<BillingRule>) -> &'static str {
        match *rule.borrow() {
            BillingRule::Month95 => self.of("95th percentile of the month", "月 95"),
            BillingRule::DailyPeak => self.of("average of daily peaks", "日峰均值"),
            BillingRule::Top5 => self.of("fifth daily peak", "第五日峰"),
        }
    }

    /// Name of a node's state in a rollout.
    pub(crate) fn node_state(&self, state: impl Borrow<NodeState>) -> &'static str {
        match *state.borrow() {
            NodeState::Pending => self.of("pending", "待下发"),
            NodeState::Sent => self.of("sent", "已下发"),
            NodeState::Applied => self.applied,
            NodeState::Rejected => self.of("rejected", "已拒绝"),
            NodeState::Failed => self.failed,
            NodeState::Offline => self.of("offline", "离线"),
        }
    }

    /// Name of a node's verdict on a value.
    pub(crate) fn ack_result(&self, result: impl Borrow<AckResult>) -> &'static str {
        self.node_state(match *result.borrow() {
            AckResult::Applied => NodeState::Applied,
            AckResult::Rejected => NodeState::Rejected,
            AckResult::Failed => NodeState::Failed,
        })
    }

    /// Name of a release's reach.
    pub(crate) fn release_kind(&self, kind: impl Borrow<ReleaseKind>) -> &'static str {
        match *kind.borrow() {
            ReleaseKind::Full => self.of("full", "全量"),
            ReleaseKind::Grey => self.of("grey", "灰度"),
        }
    }

    /// Name of a release's state.
    pub(crate) fn release_state(&self, state: impl Borrow<ReleaseState>) -> &'static str {
        match *state.borrow() {
            ReleaseState::Active => self.of("active", "生效中"),
            ReleaseState::Superseded => self.of("superseded", "已被取代"),
            ReleaseState::Promoted => self.of("promoted", "已推全量"),
            ReleaseState::Aborted => self.of("taken back", "已撤回"),
        }
    }

    /// Name of a task's status.
    pub(crate) fn task_status(&self, status: impl Borrow<Status>) -> &'static str {
        match *status.borrow() {
            Status::Pending => self.of("pending", "待执行"),
            Status::Running => self.running,
            Status::Succeeded => self.of("succeeded", "成功"),
            Status::Failed => self.failed,
            Status::Cancelled => self.of("cancelled", "已取消"),
            Status::Unknown => self.of("unknown", "未知"),
        }
    }

    /// Name of how far the undoing of a task is; empty where nobody asked for it.
    pub(crate) fn task_revert(&self, revert: impl Borrow<Revert>) -> &'static str {
        match *revert.borrow() {
            Revert::None => "",
            Revert::Asked => self.of("undoing asked for", "已请求回退"),
            Revert::Done => self.of("undone", "已回退"),
            Revert::Failed => self.of("undoing failed", "回退失败"),
        }
    }

    /// Name of what may be asked of a task's order.
    pub(crate) fn demand(&self, demand: &str) -> &'static str {
        match demand {
            "execute" => self.of("Execute", "执行"),
            "retry" => self.retry,
            "plan" => self.of("Plan", "预演"),
            "cancel" => self.cancel,
            _ => self.reverted,
        }
    }
}

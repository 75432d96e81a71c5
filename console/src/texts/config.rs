//! Texts of the configuration centre's pages.

use std::borrow::Borrow;

use pilothouse_core::config::{ChangeAction, ChangeSetState};

use super::Texts;

table! {
    ConfigTexts, ENGLISH, CHINESE;
    apollo_env: "Environment (Apollo)", "环境（Apollo）";
    author: "Author", "作者";
    cannot_be_done: "Cannot be done", "无法执行";
    change_set: "Change set", "变更集";
    change_sets: "Change sets", "变更集";
    choose: "Choose", "选择";
    copy_chosen: "Copy the chosen keys to the right, as a change set", "将所选键复制到右侧（生成变更集）";
    create_and_publish: "Create and publish…", "创建并发布…";
    difference_to_published: "Difference to what is published", "与已发布内容的差异";
    different: "Different", "不同";
    discard: "Discard", "放弃";
    drift: "drift", "偏离";
    dry_run: "Dry run", "预演";
    excerpt: "Excerpt", "摘录";
    expected: "Expected", "应持有";
    export: "Export", "导出";
    export_hint: "The current values of the items. Validators are in none of these files, descriptions not in JSON.", "导出配置项的当前值；文件不含校验规则，JSON 不含说明。";
    file: "File", "文件";
    file_held: "The file of the dry run is kept: import it as it is, or choose another.", "预演的文件已保留，可直接导入，或重新选择。";
    file_pasted: "or its text", "或粘贴文本";
    files: "Import and export", "导入导出";
    format: "Format", "格式";
    found_in: "Found in", "位置";
    full_screen: "Full screen", "全屏";
    held: "Held", "已持有";
    holds: "Holds", "持有内容";
    import: "Import", "导入";
    import_as_change_set: "Import as a change set", "导入为变更集";
    inbox: "Inbox", "待办";
    inbox_empty: "Nothing waits for anybody", "没有待办事项";
    keys_config: "Alt+Enter shows an editor on the full screen and Escape leaves it; b takes a release back; in the inbox and on a change set a approves and r rejects; s saves a text as a change set; x chooses a row; / searches everywhere from a page without a filter", "Alt+Enter 全屏编辑，Esc 退出；b 回滚发布；待办与变更集中 a 审批、r 驳回；s 将文本保存为变更集；x 选择行；无筛选的页面上 / 为全局搜索";
    keys_of_set: "keys", "个键";
    left: "Left", "左侧";
    left_out: "Left out", "未采用的内容";
    may_not_delete: "Only those who may publish may delete what was released", "已发布过的配置项只有可发布者才能删除";
    more_waits: "There is more than this page shows", "还有更多未显示";
    not_there: "not there", "不存在";
    only_left: "Only left", "仅左侧";
    only_right: "Only right", "仅右侧";
    reject: "Reject", "驳回";
    right: "Right", "右侧";
    roll_back_hint: "Every node goes back to what was released before. Drafts stay.", "所有节点回到上一次发布的内容，草稿保留。";
    roll_back_release: "Roll back", "回滚发布";
    running_greys: "Grey releases", "灰度发布";
    same_app: "the same app", "同一应用";
    save_and_publish: "Save and publish…", "保存并发布…";
    save_as_change_set: "Save as a change set", "保存为变更集";
    search: "Search", "搜索";
    search_on: "Search on", "继续搜索";
    search_text: "Text in keys and values", "键或值中的文本";
    show_difference: "Show the difference", "查看差异";
    text_hint: "All items as properties: comment lines above a key are its description, a key that is taken away is deleted", "全部配置项（properties 格式）：键上方的注释为说明，删除键即删除该配置项";
    text_mode: "As text", "文本模式";
    text_too_long: "These items are longer than 2 MiB, too long for one text.", "配置项超过 2 MiB，无法以文本方式编辑。";
    title: "Title", "标题";
    to_approve: "To approve", "待审批";
    to_publish: "To publish", "待发布";
    would_change: "Would change", "将改动";
}

impl ConfigTexts {
    fn of(&self, english: &'static str, chinese: &'static str) -> &'static str {
        if std::ptr::eq(self, &raw const CHINESE) { chinese } else { english }
    }

    /// Name of a change set's state.
    pub(crate) fn change_set_state(&self, state: impl Borrow<ChangeSetState>) -> &'static str {
        match state.borrow() {
            ChangeSetState::Draft => self.of("draft", "草稿"),
            ChangeSetState::Approved => self.of("approved", "已审批"),
            ChangeSetState::Released => self.of("released", "已发布"),
            ChangeSetState::Discarded => self.of("discarded", "已放弃"),
        }
    }

    /// Name of what a change does to its key.
    pub(crate) fn change_action(&self, action: impl Borrow<ChangeAction>) -> &'static str {
        match action.borrow() {
            ChangeAction::Create => self.of("created", "新建"),
            ChangeAction::Update => self.of("changed", "修改"),
            ChangeAction::Delete => self.of("deleted", "删除"),
            ChangeAction::Same => self.of("the same", "相同"),
        }
    }
}

impl Texts {
    /// The texts of the configuration centre, in the same language.
    pub(crate) fn config(&self) -> &'static ConfigTexts {
        if self.is_chinese() { &CHINESE } else { &ENGLISH }
    }
}

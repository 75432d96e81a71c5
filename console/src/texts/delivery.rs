//! Texts of the pages of the CDN, and names of alarms and regions.

use std::borrow::Borrow;

use pilothouse_core::cdn::AlarmKind;
use pilothouse_core::ports::AreaLevel;

table! {
    Texts, ENGLISH, CHINESE;
    alarms: "Alarms", "告警";
    all_customers: "All customers", "全部客户";
    bandwidth_above: "Bandwidth above (bit/s)", "带宽超过（bit/s）";
    begun: "Begin", "开始";
    bills: "Bills", "账单";
    bytes_kept: "Bytes kept", "保留字节";
    dropped: "Lines dropped", "丢弃行数";
    ended: "ended", "已结束";
    errors_above: "5xx above (%)", "5xx 超过（%）";
    found: "Value", "数值";
    given_up: "given up", "已放弃";
    hits_below: "Hit ratio below (%)", "命中率低于（%）";
    host: "Host", "主机";
    hosts: "Unregistered hosts", "未登记主机";
    hosts_hint: "Lines of these hosts are kept aside, and are counted once a customer has the domain.", "这些主机的日志行另存，客户登记域名后计入。";
    hour_hint: "Whole hours (UTC); a path that is not named has at most this many requests:", "按整点（UTC）；未列出的路径请求数至多：";
    listed: "listed in the settings", "设置中已列出";
    limit: "Threshold", "阈值";
    lines: "Lines", "行数";
    min_requests: "From so many requests in five minutes", "五分钟内至少请求数";
    no_alarms: "No alarm", "没有告警";
    of_others: "All other hosts", "其他主机";
    open: "open", "未结束";
    regions: "Regions", "地区";
    save_as_csv: "Download as CSV", "下载 CSV";
    statuses: "Status codes", "状态码";
    thresholds: "Thresholds", "告警阈值";
    thresholds_hint: "Compared with every five minutes; one that is empty is not.", "每五分钟比较一次，留空则不比较。";
    too_many: "at most too many", "至多偏高";
    top_urls: "Top URLs", "热门 URL";
}

impl super::Texts {
    /// Texts of the pages of the CDN.
    pub(crate) fn delivery(&self) -> &'static Texts {
        if self.is_chinese() { &CHINESE } else { &ENGLISH }
    }

    /// Name of a kind of alarm.
    pub(crate) fn alarm_kind(&self, kind: impl Borrow<AlarmKind>) -> &'static str {
        match *kind.borrow() {
            AlarmKind::Bandwidth => self.bandwidth,
            AlarmKind::ErrorRatio => self.of("5xx share", "5xx 比例"),
            AlarmKind::HitRatio => self.hit_ratio,
            AlarmKind::SilentEdge => self.of("silent edge", "边缘无应答"),
            AlarmKind::UnreadableLog => self.of("unreadable log", "日志无法读取"),
            AlarmKind::LogGap => self.of("gap in the log", "日志缺失"),
        }
    }

    /// Kind of a region; empty for what has none.
    pub(crate) fn area_level(&self, level: impl Borrow<Option<AreaLevel>>) -> &'static str {
        match *level.borrow() {
            Some(AreaLevel::City) => self.city,
            Some(AreaLevel::Province) => self.of("Province", "省份"),
            Some(AreaLevel::Country) => self.of("Country", "国家"),
            Some(_) | None => "",
        }
    }
}

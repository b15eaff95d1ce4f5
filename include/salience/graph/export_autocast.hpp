// Regions of an exported program in which autocast is on.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/export_archive.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

constexpr std::string_view autocast_class = "__torch__.torch.amp.autocast_mode.autocast";

/// As long as it lives, nodes are inserted into a region as TorchScript has it of `with torch.autocast(...)`,
/// which the passes of LibTorch turn into casts (see simplify).
class AutocastRegion {
 public:
  /// `device`, `dtype` and `enabled` are arguments of the program; a device without autocast here has no
  /// region.
  AutocastRegion(torch::jit::Graph& graph, const Json& device, const Json& dtype, const Json& enabled)
      : graph_(graph) {
    const std::string name = text(tagged(device).value);
    if (name != "cpu" && name != "cuda") return;
    const at::ScalarType type = tagged(dtype).kind == "as_none" ? (name == "cpu" ? at::kBFloat16 : at::kHalf)
                                                                : exported_dtype(tagged(dtype).value);
    const bool on = tagged(enabled).kind == "as_none" || tagged(enabled).value.get<bool>();
    const c10::ClassTypePtr kind =
        c10::ClassType::create(c10::QualifiedName(std::string(autocast_class)), {});
    kind->addAttribute("_enabled", c10::BoolType::get());
    kind->addAttribute("device", c10::StringType::get());
    kind->addAttribute("fast_dtype", c10::IntType::get());
    object_ = graph_.insertNode(graph_.createObject(kind))->output();
    const auto set = [this](const char* attribute, const c10::IValue& value) {
      graph_.insertNode(graph_.createSetAttr(object_, attribute, graph_.insertConstant(value)));
    };
    set("_enabled", on);
    set("device", name);
    set("fast_dtype", static_cast<std::int64_t>(type));
    torch::jit::Node* enter = graph_.insertNode(graph_.create(c10::prim::Enter, {object_}, 1));
    enter->output()->setType(c10::NoneType::get());
  }
  AutocastRegion(const AutocastRegion&) = delete;
  AutocastRegion& operator=(const AutocastRegion&) = delete;
  ~AutocastRegion() {
    if (object_)
      graph_.insertNode(graph_.create(c10::prim::Exit, {object_}, 1))
          ->output()
          ->setType(c10::NoneType::get());
  }

 private:
  torch::jit::Graph& graph_;
  torch::jit::Value* object_ = nullptr;
};

/// Takes the regions out once they have become casts.
inline void remove_autocast(torch::jit::Graph& graph) {
  std::vector<torch::jit::Node*> regions = nodes_of(graph);
  std::erase_if(regions, [](const torch::jit::Node* node) {
    if (node->kind() != c10::prim::CreateObject) return true;
    const auto type = node->output()->type()->cast<c10::ClassType>();
    return !type || !type->name() || type->name()->qualifiedName() != autocast_class;
  });
  for (torch::jit::Node* region : regions) {
    const auto uses = region->output()->uses();
    for (const torch::jit::Use& use : uses) use.user->destroy();
    region->destroy();
  }
}

}  // namespace salience::detail

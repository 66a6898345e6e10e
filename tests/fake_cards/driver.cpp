// What torch asks of CUDA's driver while it computes gradients of tensors that only have a shape: eight cards that are
// there, and streams and events that are always ready. Loaded before torch, it takes the place of what a build without
// CUDA leaves empty. No number is computed here.
#include <memory>
#include <optional>

#include <ATen/DeviceAccelerator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

using namespace c10;

namespace {

thread_local DeviceIndex current = 0;

struct Cards final : public impl::DeviceGuardImplInterface {
  DeviceType type() const override { return DeviceType::CUDA; }
  Device exchangeDevice(Device to) const override {
    Device was = getDevice();
    setDevice(to);
    return was;
  }
  Device getDevice() const override { return Device(DeviceType::CUDA, current); }
  void setDevice(Device to) const override {
    if (to.index() >= 0) current = to.index();
  }
  void uncheckedSetDevice(Device to) const noexcept override { setDevice(to); }
  Stream getStream(Device of) const override { return Stream(Stream::DEFAULT, of); }
  Stream getDefaultStream(Device of) const override { return Stream(Stream::DEFAULT, of); }
  Stream exchangeStream(Stream to) const override { return to; }
  DeviceIndex deviceCount() const noexcept override { return 8; }
  void record(void**, const Stream&, const DeviceIndex, const EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
};

struct Hooks final : public at::CUDAHooksInterface {
  Hooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  bool isAvailable() const override { return true; }
  DeviceIndex deviceCount() const override { return 8; }
  DeviceIndex getCurrentDevice() const override { return current; }
  DeviceIndex current_device() const override { return current; }
};

const bool registered = [] {
  at::CUDAHooksRegistry()->Register(
      "CUDAHooks",
      [](at::CUDAHooksArgs args) -> std::unique_ptr<at::CUDAHooksInterface> { return std::make_unique<Hooks>(args); });
  return true;
}();

C10_REGISTER_GUARD_IMPL(CUDA, Cards)

}  // namespace

namespace at::accelerator {
std::optional<DeviceType> getAccelerator(bool) {
  return DeviceType::CUDA;
}
}  // namespace at::accelerator

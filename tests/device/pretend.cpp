// What autograd asks of a device before it runs a backward pass there, in a PyTorch that was built for none:
// one CUDA or MPS device (GIBBSIAN_PRETEND says which), with streams and events on which nothing ever happens.
// The backward pass then runs in a thread of its own, as on a real device. The rest is in tensors.py.

#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <string>

namespace {

using c10::Device;
using c10::DeviceIndex;
using c10::DeviceType;
using c10::Stream;

bool pretended(const char* type) {
  const char* asked = std::getenv("GIBBSIAN_PRETEND");
  return type == std::string(asked ? asked : "cuda");
}

template <DeviceType type>
struct PretendedGuard : c10::impl::NoOpDeviceGuardImpl<type> {
  Device getDevice() const override { return Device(type, 0); }
  Device exchangeDevice(Device) const override { return getDevice(); }
  Stream getStream(Device) const noexcept override { return Stream(Stream::DEFAULT, getDevice()); }
  Stream exchangeStream(Stream) const noexcept override { return getStream(getDevice()); }
  void record(void**, const Stream&, DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
};

using CudaGuard = PretendedGuard<DeviceType::CUDA>;
using MpsGuard = PretendedGuard<DeviceType::MPS>;

C10_REGISTER_GUARD_IMPL(CUDA, CudaGuard)
C10_REGISTER_GUARD_IMPL(MPS, MpsGuard)

}  // namespace

namespace at {

// A process may have one kind of accelerator. PyTorch finds the hooks by the names of these classes.
struct CUDAHooks : CUDAHooksInterface {
  CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return pretended("cuda"); }
  bool isBuilt() const override { return hasCUDA(); }
  bool isAvailable() const override { return hasCUDA(); }
  bool hasPrimaryContext(DeviceIndex) const override { return hasCUDA(); }
  int getNumGPUs() const override { return hasCUDA() ? 1 : 0; }
  DeviceIndex deviceCount() const override { return hasCUDA() ? 1 : 0; }
  DeviceIndex current_device() const override { return 0; }
  DeviceIndex getCurrentDevice() const override { return 0; }
};

struct MPSHooks : MPSHooksInterface {
  void init() const override {}
  bool hasMPS() const override { return pretended("mps"); }
  bool isBuilt() const override { return hasMPS(); }
  bool isAvailable() const override { return hasMPS(); }
  bool hasPrimaryContext(DeviceIndex) const override { return hasMPS(); }
  DeviceIndex deviceCount() const override { return hasMPS() ? 1 : 0; }
  DeviceIndex getCurrentDevice() const override { return 0; }
};

REGISTER_CUDA_HOOKS(CUDAHooks)
REGISTER_MPS_HOOKS(MPSHooks)

}  // namespace at

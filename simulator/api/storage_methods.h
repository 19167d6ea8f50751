#pragma once

#include "simulator/api/method.h"

namespace pvesim {

// The parts of the storage side's method table.
void add_content_methods(MethodTable& table);  // /nodes/N/storage…
void add_disk_methods(MethodTable& table);     // /nodes/N/disks…, /nodes/N/hardware/pci, capabilities

}  // namespace pvesim

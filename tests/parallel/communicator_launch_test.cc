#include "parallel/communicator_launch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "parallel/communicator.h"

namespace switchyard {
namespace {

Launch launch_of(const std::map<std::string, std::string>& environment) {
  return detect_launch([&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(CommunicatorLaunchTest, APlainShellIsNoLauncher) {
  EXPECT_FALSE(launch_of({}).is_launched);
  EXPECT_EQ(launch_of({}).size, 1);
}

TEST(CommunicatorLaunchTest, TheShellOfABatchJobIsNoLauncher) {
  const Launch launch =
      launch_of({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}, {"SLURM_JOB_ID", "17"}});
  EXPECT_FALSE(launch.is_launched);
  EXPECT_EQ(launch.unconnected_tasks, 1);
}

TEST(CommunicatorLaunchTest, KnowsTheLaunchersOfMpi) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"}) {
    const Launch launch = launch_of({{name, "3"}});
    EXPECT_TRUE(launch.is_launched) << name;
    EXPECT_EQ(launch.size, 3) << name;
  }
  EXPECT_FALSE(launch_of({{"OMPI_COMM_WORLD_SIZE", "junk"}}).is_launched);
}

TEST(CommunicatorLaunchTest, MpirunInsideABatchJobCounts) {
  const Launch launch = launch_of({{"SLURM_PROCID", "0"},
                                   {"SLURM_STEP_NUM_TASKS", "2"},
                                   {"OMPI_COMM_WORLD_SIZE", "8"},
                                   {"PMIX_RANK", "5"}});
  EXPECT_TRUE(launch.is_launched);
  EXPECT_EQ(launch.size, 8);
}

TEST(CommunicatorLaunchTest, SrunWithPmix) {
  const Launch launch = launch_of({{"PMIX_RANK", "1"}, {"SLURM_STEP_NUM_TASKS", "4"}});
  EXPECT_TRUE(launch.is_launched);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch_of({{"PMIX_RANK", "6"}}).size, 7) << "at least this rank and those before it";
}

TEST(CommunicatorLaunchTest, SrunWithoutAWayToMpi) {
  const Launch launch = launch_of({{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "4"}});
  EXPECT_FALSE(launch.is_launched);
  EXPECT_EQ(launch.unconnected_tasks, 4);
}

TEST(CommunicatorLaunchTest, WithoutALauncherTheJobIsThisProcess) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS",
                           "PMIX_RANK", "SLURM_STEP_NUM_TASKS"}) {
    unsetenv(name);
  }
  const std::unique_ptr<Backend> backend = make_backend({});
  const std::unique_ptr<Communicator> world = make_communicator(*backend, {});
  EXPECT_EQ(world->transport(), "local");
  EXPECT_EQ(world->size(), 1);
}

}  // namespace
}  // namespace switchyard
